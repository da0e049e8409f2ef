"""The tools that break the firmware on purpose: what they catch, what they let through, and a few rows of each."""

import subprocess
import sys
import zlib

from tests.arch import tree
from tools.proof import alive, explained, operators
from tools.traceability.model import ROOT

ROUNDING = "tests/firmware/core/test_units.py::test_rounding"
TRY = """
from tools.proof.alive import emptied
from tools.proof.runner import Job, run
run([Job("a job", {edits}, ({test!r},), {limit})], 1, lambda verdict: print("caught:", verdict.caught))
"""


def seed() -> int:
    """Another sample for another firmware, the same for the same."""
    texts = [module.path.read_bytes() for module in tree.sources() if module.name.startswith("haipump_fw")]
    return zlib.crc32(b"".join(texts))


def tool(*words: str) -> subprocess.CompletedProcess[str]:
    """A process of its own: the tools fork, which a process with threads should not."""
    return subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False)


def caught(edits: str, test: str = ROUNDING, limit: int = 60) -> str:
    done = tool("-c", TRY.format(edits=edits, test=test, limit=limit))
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().removeprefix("caught: ")


def test_a_test_that_needs_the_function_misses_it_and_another_does_not():
    assert caught('emptied("core.units.div_up")') == ROUNDING
    assert caught('emptied("core.ledger.Ledger.off_nl")') == "None"


def test_what_can_not_be_imported_and_what_does_not_end_is_caught():
    assert caught('{"firmware/haipump_fw/core/units.py": "def"}') == "import"
    endless = "while True:\\n    pass\\n"
    assert caught(f'{{"firmware/haipump_fw/core/units.py": "{endless}"}}', limit=3) == "hangs"


FORKS = """
import ast, contextlib, sys
from pathlib import Path
from tools.proof import forks
SUITE = ("tests/firmware/core/test_units.py",)
kept = Path(sys.argv[1]) / "reached"
forks.apart(lambda: forks.measure(SUITE).save(kept))
reached = forks.Reached.load(kept)
text = (forks.FIRMWARE / "core/units.py").read_text()
assert "return -((-numerator) // denominator)" in text and "    root = number\\n" in text
texts = {
    "the same": text,
    "wrong": text.replace("return -((-numerator) // denominator)", "return numerator // denominator"),
    "endless": text.replace("    root = number\\n", "    while True:\\n        pass\\n"),
    "the same again": text,
}
line = text[: text.index("while better < root")].count("\\n") + 1
tasks = [
    forks.Task(name, "core/units.py", lambda tree=ast.parse(now): contextlib.nullcontext(tree), tuple(reached.cost))
    for name, now in texts.items()
]
print("reached:", reached.lines["core/units.py"][line], flush=True)
done = lambda outcome: print("fork:", outcome.task.name, outcome.caught, flush=True)
forks.apart(lambda: forks.run(SUITE, iter(tasks), 1, reached, done))
"""


def test_many_changes_are_tried_in_forks_and_what_does_not_end_is_found_by_work(tmp_path):
    done = tool("-c", FORKS, str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    said = [line for line in done.stdout.splitlines() if line.startswith(("reached:", "fork:"))]
    assert said == [
        "reached: ['tests/firmware/core/test_units.py::test_roots']",
        "fork: the same None",
        f"fork: wrong {ROUNDING}",
        "fork: endless hangs",
        "fork: the same again None",
    ]


def test_changes_have_names_and_leave_the_file_as_it_was():
    source = "def f(a):\n    return a + 1 if a < 2 else -3\n"
    found = list(operators.changes("core/f.py", source))
    names = [change.name.removeprefix("core/f.py: f: ") for change in found]
    line = "in `return a + 1 if a < 2 else -3`"
    assert sorted(names) == sorted(
        [
            "return a + 1 if a < 2 else -3  ->  return",
            "a < 2  ->  a <= 2",
            "a + 1  ->  a - 1",
            "-3  ->  3",
            f"1 {line}  ->  2",
            f"2 {line}  ->  3",
            f"3 {line}  ->  4",
        ]
    )
    assert "return a - 1 if a < 2 else -3" in found[names.index("a + 1  ->  a - 1")].text()
    assert "a + 1 if a < 2" in found[names.index("-3  ->  3")].text(), "one change at a time"


def test_every_explanation_is_of_a_function_that_exists():
    for name in explained.EXPLAINED:
        file, function, _ = name.split(": ", 2)
        source = (ROOT / "firmware" / "haipump_fw" / file).read_text(encoding="utf-8")
        assert f"def {function.rpartition('.')[2]}(" in source, name


def test_only_the_body_is_replaced():
    (path, text), *others = alive.emptied("core.units.div_up").items()
    assert path == "firmware/haipump_fw/core/units.py" and not others
    assert "def div_up(numerator, denominator):\n    return None\n\n\ndef div_near" in text


def test_some_rows_of_the_requirements_are_alive():
    done = tool("-m", "tools.proof.alive", "--sample", "2", "--seed", str(seed()), "--trust")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 functions replaced, 2 missed by a test, 0 dead" in done.stdout
