"""Repository hygiene: limits, banned calls, dead modules; and for each check a snippet that it must catch."""

from pathlib import Path

import pytest

from tests.arch import arrows, hygiene, tree

ON_MODULES = (
    hygiene.docstring,
    hygiene.long_functions,
    hygiene.banned_calls,
    hygiene.global_random,
    hygiene.asserts,
    hygiene.floats,
)
ON_PYTHON = (hygiene.long_lines, hygiene.bare_exceptions)

# Modules that nothing imports: they are started, by the shell or by the Pico, or offered to programs that embed us.
ENTRIES = (
    *("boot", "main", "haipump.__main__", "haipump_emulator.__main__", "haipump_emulator.link.memory"),
    "haipump_fw.ports.contract",  # for readers, and for the tests that compare the ports with it
    "haipump_fw.core.ignored",  # the part of the state table that is for readers, documents and tests
    "haipump_emulator.plant.complications",  # a table for the same
)


@pytest.mark.parametrize("check", ON_MODULES, ids=lambda check: check.__name__)
def test_modules(check):
    assert [line for module in tree.everything() for line in check(module)] == []


@pytest.mark.parametrize("check", ON_PYTHON, ids=lambda check: check.__name__)
def test_python_text(check):
    assert [line for module in tree.everything() for line in check(module.path)] == []


def test_no_private_places():
    assert [line for path in tree.texts() for line in hygiene.private_places(path)] == []


def used(modules) -> set[str]:
    """Names of the modules that some other module imports."""
    known = frozenset(module.name for module in modules)
    return {name for module in modules for _, name in arrows.imports(module, known) if name != module.name}


def test_no_dead_modules():
    assert hygiene.dead_modules(tree.sources(), used(tree.sources()), ENTRIES) == []


def snippet(tmp_path: Path, name: str, source: str) -> tree.Module:
    path = tmp_path / (name.replace(".", "/") + ".py")
    path.parent.mkdir(parents=True)
    path.write_text(source)
    return tree.load(path, tmp_path)


DOC = '"""Doc."""\n'


@pytest.mark.parametrize(
    ("check", "name", "source"),
    [
        (hygiene.docstring, "haipump.x", "x = 1\n"),
        (hygiene.long_functions, "haipump.x", "def f():\n" + "    x = 1\n" * 60),
        (hygiene.banned_calls, "haipump.x", "eval('1')\n"),
        (hygiene.banned_calls, "haipump_fw.app", "print(1)\n"),
        (hygiene.banned_calls, "haipump_fw.core.x", "x = float(1)\n"),
        (hygiene.banned_calls, "haipump_emulator.link.x", "import time\ntime.time()\n"),
        (hygiene.banned_calls, "tests.x", "@pytest.mark.skip\ndef test(): ...\n"),
        (hygiene.banned_calls, "tests.x", "@pytest.mark.skip('x')\ndef test(): ...\n"),
        (hygiene.global_random, "haipump_emulator.plant.x", "import random\nrandom.gauss(0, 1)\n"),
        (hygiene.asserts, "haipump_fw.app", "assert 1\n"),
        (hygiene.floats, "haipump_fw.core.x", "x = 1.5\n"),
        (hygiene.floats, "haipump_fw.proto.x", "x = 1 / 2\n"),
        (hygiene.floats, "haipump_fw.store.x", "x /= 2\n"),
    ],
)
def test_a_module_check_can_fail(tmp_path, check, name, source):
    assert check(snippet(tmp_path, name, source)) != []


@pytest.mark.parametrize(
    ("check", "name", "source"),
    [
        (hygiene.long_functions, "haipump.x", "def f():\n" + "    x = 1\n" * 59),
        (hygiene.global_random, "haipump_emulator.plant.x", "import random\nrandom.Random(1).gauss(0, 1)\n"),
        (hygiene.global_random, "haipump_emulator.plant.x", "def f(random): random.gauss(0, 1)\n"),
        (hygiene.banned_calls, "haipump.x", "print(1)\n"),
        (hygiene.asserts, "tests.x", "assert 1\n"),
        (hygiene.floats, "haipump_fw.core.x", "x = 3 // 2\n"),
        (hygiene.floats, "haipump_emulator.plant.x", "x = 1.5 / 2\n"),
    ],
)
def test_a_module_check_lets_good_code_pass(tmp_path, check, name, source):
    assert check(snippet(tmp_path, name, DOC + source)) == []


@pytest.mark.parametrize(
    ("check", "line"),
    [
        (hygiene.long_lines, "x = " + "1" * 120),
        (hygiene.bare_exceptions, "x = 1  # pragma: no " + "cover"),
        (hygiene.bare_exceptions, "x = 1  # no" + "qa"),
        (hygiene.bare_exceptions, "x = 1  # type: " + "ignore"),
        (hygiene.bare_exceptions, "# TO" + "DO: later"),
        (hygiene.private_places, "see /ho" + "me/somebody/pump"),
        (hygiene.private_places, "pip --index" + "-url x"),
        (hygiene.private_places, "https://example.org/root/simp" + "le/"),
    ],
)
def test_a_text_check_can_fail(tmp_path, check, line):
    path = tmp_path / "x.py"
    path.write_text(line + "\n")
    assert len(check(path)) == 1


@pytest.mark.parametrize(
    "line", ["x = 1  # noqa: E501", "x = 1  # pragma: no cover: only the board has it", "ls /dev/ttyACM0 and ~/pumps"]
)
def test_a_text_check_lets_a_good_line_pass(tmp_path, line):
    path = tmp_path / "x.py"
    path.write_text(line + "\n")
    assert hygiene.bare_exceptions(path) + hygiene.private_places(path) == []


def test_a_dead_module_is_found(tmp_path):
    dead = snippet(tmp_path, "haipump.dead", DOC)
    (tmp_path / "haipump/living.py").write_text("from haipump import dead\n")
    living = tree.load(tmp_path / "haipump/living.py", tmp_path)
    assert hygiene.dead_modules([dead], used([dead]), ["haipump.living"]) == ["haipump.dead is imported by nothing"]
    assert hygiene.dead_modules([dead, living], used([dead, living]), ["haipump.living"]) == []
