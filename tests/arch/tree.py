"""The project's files as the arch tests see them.

Owns: which files belong to the project and what their modules are called. Must not: judge them.
"""

import ast
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE_ROOTS = ("firmware", "emulator", "host_tools")
# Built, downloaded or private to a tool; none of it is checked in.
SKIPPED = {"__pycache__", "build", "dist", "htmlcov", "node_modules"}
TEXT_SUFFIXES = {".py", ".md", ".toml", ".txt", ".json", ".svg", ".html", ".css", ".js", ".sql", ".yml", ".yaml", ""}


@dataclass(frozen=True)
class Module:
    """A Python file under one of the source roots, or of tests and tools, with its syntax tree."""

    name: str
    path: Path
    tree: ast.Module

    @property
    def package(self) -> str:
        """What a relative import starts from."""
        return self.name if self.path.name == "__init__.py" else self.name.rpartition(".")[0]


def walk(root: Path) -> Iterator[Path]:
    """Files below `root`, in a stable order, without what is hidden or built (.ci is part of the project)."""
    for path in sorted(root.iterdir()):
        if path.name in SKIPPED or path.name.endswith(".egg-info"):
            continue
        if path.name.startswith(".") and path.name != ".ci":
            continue
        if path.is_dir():
            yield from walk(path)
        else:
            yield path


def load(path: Path, base: Path) -> Module:
    """Parse one file; its module name is its path below `base`."""
    parts = list(path.relative_to(base).with_suffix("").parts)
    if parts[-1] == "__init__":
        parts.pop()
    return Module(".".join(parts), path, ast.parse(path.read_text(encoding="utf-8"), str(path)))


def modules_below(base: Path) -> list[Module]:
    """Every Python file below `base`, named as if `base` were on the path."""
    return [load(path, base) for path in walk(base) if path.suffix == ".py"]


@functools.cache
def sources() -> tuple[Module, ...]:
    """The modules of the three source roots."""
    return tuple(module for root in SOURCE_ROOTS for module in modules_below(ROOT / root))


@functools.cache
def everything() -> tuple[Module, ...]:
    """The sources, the tools and the tests."""
    rest = [load(path, ROOT) for folder in ("tools", "tests") for path in walk(ROOT / folder) if path.suffix == ".py"]
    return (*sources(), *rest)


@functools.cache
def texts() -> tuple[Path, ...]:
    """Every text file of the project."""
    return tuple(path for path in walk(ROOT) if path.suffix in TEXT_SUFFIXES)


def shown(path: Path) -> str:
    """The path as a message gives it."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else path.name
