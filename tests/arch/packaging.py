"""What is shipped and what is pinned: the firmware's manifest, pyproject.toml and constraints/.

Owns: reading those files. Must not: install or resolve anything.
"""

import re
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def manifest(path: Path) -> list[str]:
    """The files that the manifest lists, in its order; `#` begins a comment."""
    lines = (line.partition("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line]


# Not installed: how the sources become what is installed, and what only readers and the desktop need of the contracts.
DESKTOP = (
    "haipump_fw/device/",
    "haipump_fw/core/ignored.py",
    "haipump_fw/proto/table.py",
    "haipump_fw/ports/contract.py",
)


def manifest_faults(firmware: Path) -> list[str]:
    """What the manifest of the `firmware` folder lacks, has too much, or has twice. Empty files are not shipped: to
    open one takes 4 ms of the start, and the interpreter takes a folder for a package all the same."""
    listed = manifest(firmware / "manifest")
    there = {
        path.relative_to(firmware).as_posix()
        for path in firmware.rglob("*.py")
        if "__pycache__" not in path.parts and path.stat().st_size
    }
    there = {name for name in there if not name.startswith(DESKTOP)}
    return [
        *[f"{name} is not in the manifest" for name in sorted(there - set(listed))],
        *[f"{name} is in the manifest and does not exist" for name in sorted(set(listed) - there)],
        *[f"{name} is in the manifest twice" for name in sorted(set(listed)) if listed.count(name) > 1],
    ]


def pins(path: Path) -> dict[str, str]:
    """{name: version} of a constraints file and those that it includes. ValueError for a line that is no exact pin."""
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        line = line.partition("#")[0].partition(" ;")[0].strip()
        if line.startswith("-c "):
            found.update(pins(path.parent / line[3:].strip()))
        elif line:
            match = re.fullmatch(r"([\w.-]+)==([\w.]+)", line)
            if match is None:
                raise ValueError(f"{path.name}: not an exact version: {line}")
            found[canonicalize_name(match[1])] = match[2]
    return found


def closure(requirements: list[str]) -> dict[str, str]:
    """{name: installed version} of the requirements and of all that they need in turn, here and now."""
    found: dict[str, str] = {}
    waiting = [Requirement(line) for line in requirements]
    seen = set()
    while waiting:
        need = waiting.pop()
        name = canonicalize_name(need.name)
        if (name, frozenset(need.extras)) in seen:
            continue
        seen.add((name, frozenset(need.extras)))
        found[name] = metadata.version(name)
        for line in metadata.requires(name) or ():
            inner = Requirement(line)
            environments = [{"extra": extra} for extra in (*need.extras, "")]
            if inner.marker is None or any(inner.marker.evaluate(environment) for environment in environments):
                waiting.append(inner)
    return found


def pin_faults(pinned: dict[str, str], needed: dict[str, str]) -> list[str]:
    """What is needed and not pinned, or installed in another version."""
    return [
        *[f"{name} is not pinned" for name in sorted(set(needed) - set(pinned))],
        *[
            f"{name} is pinned at {pinned[name]}, installed is {version}"
            for name, version in sorted(needed.items())
            if pinned.get(name, version) != version
        ],
    ]
