"""Programs of PIO state machines: what is installed in their place is what the board's own assembler makes of them."""

from __future__ import annotations

import ast

import pytest

from haipump_fw.device import pio, sources
from tests.chip.guest import Guest

FILES = {"haipump_fw/ports/rp2/steps.py": 3, "haipump_fw/ports/rp2/signals.py": 1}
SHOW = "print('made', bytes({0}[0]).hex(), {0}[1:])\n"


def programs(name: str) -> list[tuple[str, str, str]]:
    """(name, source, the list that is installed) of each program of a file."""
    text = sources()[name].decode()
    done = ast.parse(pio.assembled({name: text.encode()})[name])
    lists = {
        ast.unparse(node.targets[0]): ast.unparse(node.value) for node in done.body if isinstance(node, ast.Assign)
    }
    found = [node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef) and node.decorator_list]
    return [(node.name, ast.unparse(node), lists[node.name]) for node in found]


@pytest.mark.parametrize("name", FILES)
def test_what_is_installed_is_what_the_board_would_assemble(image, name):
    found = programs(name)
    assert len(found) == FILES[name]
    script = "import rp2\n" + "".join(f"{source}\n{SHOW.format(program)}" for program, source, _ in found)
    script += "".join(f"{program} = {words}\n{SHOW.format(program)}" for program, _, words in found)
    guest = Guest(image, script)
    guest.core.run_until(2_000_000)
    said = [line for line in guest.core.output.decode().splitlines() if line.startswith("made ")]
    assert len(said) == 2 * len(found)
    assert said[: len(found)] == said[len(found) :]
