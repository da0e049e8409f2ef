"""Words that repeat become names: which, and that nothing else changes."""

import ast
import runpy

from haipump_fw import device
from haipump_fw.device import names


def known(**files: str) -> dict[str, str]:
    sources = {names.FIRST: b'"""Doc."""\n', **{f"{name}.py": text.encode() for name, text in files.items()}}
    return {path: data.decode() for path, data in names.known(sources).items()}


def words(**files: str) -> set[str]:
    tree = ast.parse(known(**files)[names.FIRST])
    return {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


def test_a_word_of_constant_tuples_is_known_when_it_repeats_or_is_a_name_anyway():
    assert words(a='X = (("stopped", 1), ("stopped", 2))\n', b='Y = ("stopped", -1)\n') == {"stopped"}
    assert words(a='X = ("stopped", 1)\n') == set(), "one object is no more than one name"
    assert words(a='X = ("stopped", 1)\nx.stopped()\n') == {"stopped"}
    assert words(a='X = ("stopped", 1)\n\ndef f(stopped):\n    return 1\n') == {"stopped"}


def test_a_long_word_is_an_object_wherever_it_stands():
    assert words(a='x = ["infusion_over", f("infusion_over")]\n', b='y = "infusion_over"\n') == {"infusion_over"}


def test_what_the_compiler_makes_a_name_or_drops_is_left_alone():
    assert words(a='x = ["stopped", f("stopped"), ("stopped", f)]\n') == set()
    assert words(a='"""infusion_over"""\n\ndef f():\n    "infusion_over"\n', b='"infusion_over"\n') == set()


def test_what_can_not_be_a_name_is_left_alone():
    assert words(a='X = (("in", "in", "in", "in"), ("a b", "a b", "a b", "a b"), ("", "", "", ""))\n') == set()


def test_only_the_first_file_changes_and_the_function_is_forgotten(tmp_path):
    text = 'X = (("stopped", 1), ("stopped", 2), ("stopped", 3))\n'
    done = known(a=text)
    assert done["a.py"] == text
    (tmp_path / "first.py").write_text(done[names.FIRST])
    assert "words" not in runpy.run_path(str(tmp_path / "first.py"))
    assert known(a="x = 1\n")[names.FIRST] == '"""Doc."""\n'


def test_the_tables_of_the_firmware_gain_by_it():
    first = names.known({name: data for name, data in device.sources().items() if name.startswith("haipump_fw")})[
        names.FIRST
    ]
    for word in (b"x.infusing\n", b"x.start_steps_per_s\n", b"x.motion_over\n"):
        assert word in first
