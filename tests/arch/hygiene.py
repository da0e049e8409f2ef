"""What every file must keep to: each check takes a module or a text and returns one line per offence.

Owns: the limits and the banned calls, each with its reason. Must not: excuse a single file; an exception is written
down in a table here with its reason.
"""

import ast
import re
import tokenize
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.arch.tree import Module, shown

FUNCTION_LINES_MAX = 60
LINE_MAX = 120

# Where a call may not stand -> the calls and why. A name ending in "." bans everything below it.
BANNED = {
    "": {
        "eval": "runs what it is given",
        "exec": "runs what it is given",
        "breakpoint": "a debugging aid",
        "os.system": "a shell; use subprocess with a list",
        "pytest.skip": "a skipped test proves nothing",
        "pytest.mark.skip": "a skipped test proves nothing",
        "pytest.xfail": "an expected failure hides a new one",
    },
    "haipump_fw": {
        "print": "the therapy line belongs to the protocol",
        "input": "the therapy line belongs to the protocol",
        "open": "the firmware writes no files",
    },
    "haipump_emulator": {
        "time.time": "simulated time is the only clock; pacing uses time.monotonic",
        "datetime.now": "simulated time is the only clock",
        "datetime.datetime.now": "simulated time is the only clock",
        "random.seed": "shared state: use random.Random(seed)",
        "numpy.random.seed": "shared state: use numpy.random.default_rng(seed)",
    },
    "haipump_fw.core": {"float": "no float in the dose path"},
    "haipump_fw.proto": {"float": "no float in the dose path"},
    "haipump_fw.store": {"float": "no float in the dose path"},
}
PURE = ("haipump_fw.core", "haipump_fw.proto", "haipump_fw.store")
FIRMWARE = ("haipump_fw", "boot", "main")

# Put together here, so that this file does not contain what it looks for.
_MACHINE_PATHS = "|".join(["/" + word for word in ("work/", "root/", "opt/", "home/", "Users/")])
MACHINE_PATH = re.compile(rf"(?<![\w.:/~<-])(?:{_MACHINE_PATHS})[\w.-]*")
REGISTRY = re.compile("|".join(["index" + "-url", r"://[^\s)>\"']*/simp" + "le", "find" + "-links", "file:" + "///"]))
# Papers that are not in the repository: nobody who reads it could look them up.
ELSEWHERE = re.compile(r"\b(?:" + "|".join(["DOM" + "AIN", "DES" + "IGN", "TEST" + "ING"]) + r")(?:\.md| section| \d)")
UNFINISHED = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "X" + "XX"]) + r")\b")
NO_COVER = re.compile(r"pragma: no (cover|branch)\s*(.*)")
IGNORE_ALL = re.compile(r"#\s*(noqa|type: ignore|pyright: ignore)(?!\s*[:\[])")


def within(name: str, packages: Iterable[str]) -> bool:
    """Is the module one of `packages`, or in one?"""
    return any(name == top or name.startswith(top + ".") for top in packages)


def docstring(module: Module) -> list[str]:
    """Every file opens with a docstring; an empty __init__ needs none."""
    if not module.tree.body and module.path.name == "__init__.py":
        return []
    return [] if ast.get_docstring(module.tree) else [f"{shown(module.path)}: no docstring at the top"]


def long_functions(module: Module) -> list[str]:
    """A function fits a screen, its docstring included."""
    found = []
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES_MAX:
                found.append(f"{shown(module.path)}:{node.lineno} {node.name} has {lines} lines")
    return found


def long_lines(path: Path) -> list[str]:
    """Python lines of at most LINE_MAX characters."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [f"{shown(path)}:{i} has {len(line)} characters" for i, line in enumerate(lines, 1) if len(line) > LINE_MAX]


def names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of everything that is called or used as a decorator."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield node.lineno, ast.unparse(node.func)
        for decorator in getattr(node, "decorator_list", ()):
            yield decorator.lineno, ast.unparse(decorator)


def banned_calls(module: Module) -> list[str]:
    """Calls of BANNED."""
    bans = {}
    for where, calls in BANNED.items():
        if not where or within(module.name, (where,)):
            bans.update(calls)
    return [f"{shown(module.path)}:{line} {name}: {bans[name]}" for line, name in names(module.tree) if name in bans]


def global_random(module: Module) -> list[str]:
    """In the emulator every random number comes from a generator with a seed."""
    imported = {alias.name for node in ast.walk(module.tree) if isinstance(node, ast.Import) for alias in node.names}
    if not within(module.name, ("haipump_emulator",)) or not imported & {"random", "numpy"}:
        return []
    allowed = {"random.Random", "numpy.random.default_rng", "np.random.default_rng", "np.random.Generator"}
    pattern = re.compile(r"(random|numpy\.random|np\.random)\.\w+")
    return [
        f"{shown(module.path)}:{line} {name}: unseeded"
        for line, name in names(module.tree)
        if pattern.fullmatch(name) and name not in allowed
    ]


def asserts(module: Module) -> list[str]:
    """No assert in firmware: it vanishes at optimisation level 1 and up."""
    if not within(module.name, FIRMWARE):
        return []
    return [f"{shown(module.path)}:{n.lineno} assert" for n in ast.walk(module.tree) if isinstance(n, ast.Assert)]


def floats(module: Module) -> list[str]:
    """No float literal and no true division in the dose path."""
    if not within(module.name, PURE):
        return []
    found = []
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, float | complex):
            found.append(f"{shown(module.path)}:{node.lineno} float {node.value}")
        elif isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div):
            found.append(f"{shown(module.path)}:{node.lineno} true division")
    return found


def comments(path: Path) -> Iterator[tuple[int, str]]:
    """(line, text) of the comments of a Python file."""
    with tokenize.open(path) as source:
        for token in tokenize.generate_tokens(source.readline):
            if token.type == tokenize.COMMENT:
                yield token.start[0], token.string


def bare_exceptions(path: Path) -> list[str]:
    """Whoever switches a check off says which, and for coverage why; nothing is left unfinished."""
    found = []
    for line, text in comments(path):
        cover = NO_COVER.search(text)
        if cover and len(cover.group(2)) < 8:
            found.append(f"{shown(path)}:{line} coverage is switched off without a reason")
        if IGNORE_ALL.search(text):
            found.append(f"{shown(path)}:{line} names no rule")
        if UNFINISHED.search(text):
            found.append(f"{shown(path)}:{line} unfinished")
    return found


def private_places(path: Path) -> list[str]:
    """No path of somebody's machine and no package server in the repository."""
    found = []
    for i, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        for pattern, what in (
            (MACHINE_PATH, "machine path"),
            (REGISTRY, "package server"),
            (ELSEWHERE, "paper that is not here"),
        ):
            if match := pattern.search(line):
                found.append(f"{shown(path)}:{i} {what}: {match.group()}")
    return found


def dead_modules(modules: Iterable[Module], imported: set[str], entries: Iterable[str]) -> list[str]:
    """Modules that nothing imports and nobody starts."""
    entries = set(entries)
    return [
        f"{module.name} is imported by nothing"
        for module in modules
        if module.name not in imported and module.name not in entries and module.path.name != "__init__.py"
    ]
