"""The tools that break the firmware on purpose: what they catch, what they let through, and a few rows of each."""

import subprocess
import sys
import zlib

from tests.arch import tree
from tools.proof import alive
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


def test_only_the_body_is_replaced():
    (path, text), *others = alive.emptied("core.units.div_up").items()
    assert path == "firmware/haipump_fw/core/units.py" and not others
    assert "def div_up(numerator, denominator):\n    return None\n\n\ndef div_near" in text


def test_some_rows_of_the_requirements_are_alive():
    done = tool("-m", "tools.proof.alive", "--sample", "2", "--seed", str(seed()), "--trust")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 functions replaced, 2 missed by a test, 0 dead" in done.stdout
