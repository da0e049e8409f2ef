"""Runs `haipump-emu` as a process of its own, in a folder of its own, and ends it whatever happens."""

import os
import signal
import subprocess
import sys
import time

import pytest

from haipump_emulator import control

START_S = 30.0


class Running:
    """One `haipump-emu run`. Everything it printed is in `output` after `end`."""

    def __init__(self, arguments, folder, script):
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "COLUMNS": "200"}
        self.output = ""
        self.process = subprocess.Popen(
            [sys.executable, *script, "run", *arguments],
            env=environment,
            cwd=folder,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def wait_until_up(self):
        """The record of the control socket comes last, so everything else is there too."""
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self.process.poll() is None:
            for record in control.running():
                if record.pid == self.process.pid:
                    return record
            time.sleep(0.02)
        raise AssertionError(f"it did not start: {self.end()}")

    def end(self, number=signal.SIGINT):
        """Send the signal if it still runs; returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        if self.process.stdout is None or self.process.stdout.closed:
            return self.process.returncode
        try:
            self.output += self.process.communicate(timeout=START_S)[0] or ""
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.output += self.process.communicate()[0] or ""
            raise
        return self.process.returncode


@pytest.fixture(autouse=True)
def state_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))  # no image: the default is `direct`
    monkeypatch.delenv("HAIPUMP_IMAGE", raising=False)
    return tmp_path / "run" / "haipump" / "emulators"


@pytest.fixture
def start(tmp_path):
    """`start("--tcp", "0", ...)` gives a Running whose control record is `.record`."""
    started = []
    echo = ["-m", "tests.emulator.cli.echo_emu"]

    def start_(*arguments, script=echo):
        running = Running(arguments, tmp_path, script)
        started.append(running)
        running.record = running.wait_until_up()
        return running

    yield start_
    for running in started:
        running.end(signal.SIGKILL)
