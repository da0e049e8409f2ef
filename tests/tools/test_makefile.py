"""The Makefile: what a target says before it does anything that takes long."""

import os
import subprocess

from tests.arch import tree


def test_a_board_is_missed_before_anything_is_installed(tmp_path):
    words = ["make", "board", f"PORT={tmp_path}/none", f"VENV={tmp_path}/venv", "PYTHON=false"]
    outside = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    made = subprocess.run(words, cwd=tree.ROOT, env=outside, capture_output=True, text=True)
    assert made.returncode == 2
    assert made.stdout == f"There is no port {tmp_path}/none. Plug the Pico in, or name its port: " + (
        "make board PORT=/dev/ttyACM1\n"
    )
    assert not (tmp_path / "venv").exists()
