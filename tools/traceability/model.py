"""Requirements and hazards as data: what a row says, and how the code that it names is found.

Owns: the two kinds of rows, and the way from a dotted name to a function in a source file. Must not: hold rows (the
modules beside it do), import the firmware or run a test.
"""

import ast
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = {"haipump_fw": "firmware", "haipump_emulator": "emulator", "haipump": "host_tools"}

YES, PARTLY, NO = "yes", "partly", "no"


@dataclass(frozen=True)
class Requirement:
    """`where`: dotted names of functions, below `haipump_fw` unless they begin with another package of ours.

    `applies` is YES, PARTLY or NO; the last two say in `note` why. A row that is `open` needs no test yet: the text
    says why, and so does the page. No hazard's control may rest on it.
    """

    id: str
    meaning: str
    where: tuple[str, ...] = ()
    note: str = ""
    applies: str = YES
    open: str = ""


@dataclass(frozen=True)
class Hazard:
    """`controls` are pairs: what keeps the harm away, and ids of the requirements whose tests prove that it does."""

    id: str
    theme: str
    hazard: str
    causes: tuple[str, ...]
    severity: str
    controls: tuple[tuple[str, tuple[str, ...]], ...]
    rest: str = ""


@dataclass(frozen=True)
class Place:
    """A function in a source file."""

    path: Path
    node: ast.FunctionDef


def full(name: str) -> str:
    """The dotted name with its package."""
    return name if name.partition(".")[0] in SOURCES else f"haipump_fw.{name}"


def find(name: str, root: Path = ROOT) -> Place:
    """The function that a dotted name means, in the sources below `root`. LookupError when there is none."""
    parts = full(name).split(".")
    for count in range(len(parts) - 1, 0, -1):
        stem = root / SOURCES[parts[0]] / "/".join(parts[:count])
        for path in (stem.with_suffix(".py"), stem / "__init__.py"):
            if path.is_file():
                node = _inside(ast.parse(path.read_text(encoding="utf-8")), parts[count:])
                if node is not None:
                    return Place(path, node)
    raise LookupError(f"{full(name)} does not exist; if it has moved, name its new place")


def _inside(tree: ast.AST, names: list[str]) -> ast.FunctionDef | None:
    for name in names:
        kinds = ast.FunctionDef if name == names[-1] else ast.ClassDef | ast.FunctionDef
        # The last one counts: a module may define a function again, as `core.clock` does.
        found = [node for node in ast.walk(tree) if isinstance(node, kinds) and node.name == name]
        if not found:
            return None
        tree = found[-1]
    return tree if isinstance(tree, ast.FunctionDef) else None
