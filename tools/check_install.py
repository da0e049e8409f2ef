"""Does a user's install work? `python tools/check_install.py WHEEL_FOLDER CONSTRAINTS`, or `make check-install`.

Installs the one wheel of the folder into a clean environment and, from an empty directory, lets both commands do
real work: a scenario that ships is run, an emulated pump is started, and the host command asks it who it is. Where the
user has a MicroPython image, the UF2 file for a Pico is made and booted, and must hold the same application.
Owns: that proof. Must not: see the checkout; it uses the standard library alone and nothing of the tests' environment.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
import venv
import zipfile
from pathlib import Path

START_S = 20  # for the emulator to open its line
IN_WHEEL = ("haipump_fw/device/boot.py", "haipump_fw/device/main.py", "haipump_fw/device/manifest")


def say(text: str) -> None:
    print(f"check-install: {text}", flush=True)


def contents(wheel: Path) -> list[str]:
    """What is wrong with the files in the wheel: things missing, things that must not be there."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {name.split("/")[0] for name in names} - {name.split("/")[0] for name in names if ".dist-info/" in name}
    wrong = [f"{top} is in the wheel" for top in tops - {"haipump", "haipump_emulator", "haipump_fw"}]
    wrong += [f"{name} is not in the wheel" for name in IN_WHEEL if name not in names]
    if not any(name.startswith("haipump_emulator/scenarios/") and name.endswith(".toml") for name in names):
        wrong.append("no scenario is in the wheel")
    return wrong


class Installed:
    """The environment, and how its commands are run: in `folder`, without anything of the checkout on the path."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV"))}
        self.environment["HOME"] = str(folder)
        # What the user has fetched is used, and nothing else of theirs.
        self.environment.setdefault("XDG_CACHE_HOME", str(Path.home() / ".cache"))
        if named := self.environment.get("HAIPUMP_IMAGE"):
            self.environment["HAIPUMP_IMAGE"] = str(Path(named).resolve())

    def make(self, wheel: Path, constraints: Path) -> None:
        venv.create(self.folder / "venv", with_pip=True)
        install = [
            self.bin / "python",
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--retries",
            "2",
        ]
        # HOME as it is: pip finds its configuration and its cache there.
        subprocess.run([*install, "-c", constraints.resolve(), wheel.resolve()], check=True, cwd=self.folder)

    def run(self, *words: str) -> str:
        """Standard output of a command that must succeed."""
        say(" ".join(words))
        call = [self.bin / words[0], *words[1:]]
        done = subprocess.run(call, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=60)
        if done.returncode:
            raise SystemExit(f"check-install: failed with {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def start(self, *words: str) -> subprocess.Popen:
        say(" ".join(words) + " &")
        return subprocess.Popen([self.bin / words[0], *words[1:]], cwd=self.folder, env=self.environment)


def converse(installed: Installed) -> dict:
    """Start the emulator on a line of its own and let the host command talk to it; what the pump says of itself."""
    line = installed.folder / "pump"
    emulator = installed.start("haipump-emu", "run", "--pty", str(line))
    try:
        deadline = time.monotonic() + START_S
        while not line.exists():
            if emulator.poll() is not None or time.monotonic() > deadline:
                raise SystemExit("check-install: the emulator did not open its line")
            time.sleep(0.05)
        answer = json.loads(installed.run("haipump", "--port", str(line), "info", "--json"))
        say(f"the pump answers: {answer}")
        return answer
    finally:
        emulator.terminate()
        emulator.wait(timeout=START_S)


def export(installed: Installed, app_hash: str) -> None:
    """Make the UF2 file, if there is an interpreter to put into it."""
    images = Path(installed.environment["XDG_CACHE_HOME"], "haipump").glob("*.uf2")
    if not installed.environment.get("HAIPUMP_IMAGE") and not any(images):
        say("no MicroPython image here, so no UF2 file is made (`make image` gets one)")
        return
    made = json.loads(installed.run("haipump-emu", "uf2", "haipump.uf2", "--json"))
    say(f"the UF2 file holds: {made}")
    if made["app_hash"] != app_hash:
        raise SystemExit(f"check-install: its application is not the one of the emulated pump, {app_hash}")


def main(wheels: str, constraints: str) -> int:
    """Exit code 0 when everything works."""
    (wheel,) = Path(wheels).glob("haipump-*.whl")
    wrong = contents(wheel)
    if wrong:
        say("; ".join(wrong))
        return 1
    with tempfile.TemporaryDirectory() as folder:
        installed = Installed(Path(folder))
        say(f"installing {wheel.name}")
        installed.make(wheel, Path(constraints))
        installed.run("haipump", "--help")
        installed.run("haipump-emu", "--help")
        installed.run("haipump-emu", "scenario", "start_up")
        export(installed, converse(installed)["info"]["app_hash"])
    say("both commands work without the checkout")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
