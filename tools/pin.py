"""Resolves the dependencies anew and writes constraints/*.txt: `make constraints`. Needs a package index.

Owns: how the pins come about: a throw-away environment for each file, and what pip put there. Must not: be needed by
anybody who only builds or tests. Pins for other systems (Windows) are added by hand below.
"""

import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# What only other systems install: (pin, marker).
ELSEWHERE = {"run.txt": ['colorama==0.4.6 ; sys_platform == "win32"']}
HEADS = {
    "build.txt": "What builds the package; installed into the environment, so that builds need no download.",
    "run.txt": "Exact versions of everything that the installed programs need.",
    "dev.txt": "Exact versions of what tests, checks and generators need on top of run.txt.",
}


def resolve(requirements: list[str], constraints: list[str]) -> list[str]:
    """`name==version` of everything that pip installs for `requirements`, sorted by name."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        python = next(
            path for path in (Path(folder, "bin/python"), Path(folder, "Scripts/python.exe")) if path.exists()
        )
        pinned = Path(folder, "pinned.txt")
        pinned.write_text("\n".join(constraints))
        install = [python, "-m", "pip", "install", "--quiet", "-c", pinned, *requirements]
        subprocess.run(install, check=True)
        frozen = subprocess.run([python, "-m", "pip", "freeze"], check=True, capture_output=True, text=True)
    return sorted(frozen.stdout.split("\n")[:-1], key=str.lower)


def write(name: str, lines: list[str]) -> None:
    text = "\n".join([f"# {HEADS[name]} `make constraints` writes this file.", *lines, *ELSEWHERE.get(name, [])])
    (ROOT / "constraints" / name).write_text(text + "\n")


def main() -> int:
    """Write all three files; returns the exit code."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = project["project"]["optional-dependencies"]
    needs = project["project"]["dependencies"]
    tests = [line for line in (*extras["dask"], *extras["parquet"], *extras["dev"]) if not line.startswith("haipump")]

    write("build.txt", resolve([*project["build-system"]["requires"], "editables"], []))
    run = resolve(needs, [])
    write("run.txt", run)
    write("dev.txt", ["-c run.txt", *[line for line in resolve([*needs, *tests], run) if line not in run]])
    return 0


if __name__ == "__main__":
    sys.exit(main())
