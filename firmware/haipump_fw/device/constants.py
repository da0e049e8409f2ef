"""Numbers in place of names: what mpy-cross does with `const` inside a file, done across files. Desktop only.

On the device each name costs some 20 bytes of heap, 10 more in every module that imports it, and 0.1 ms in each file
when it is loaded. Nearly 200 names are those of whole numbers that never change; with them the heap was short.

Owns: which names are constants, and their replacement in the text; lines stay where they are, so tracebacks still tell
the truth. Must not: understand more than module-level names of whole numbers, nor guess: what it can't follow it
refuses to compile.
"""

import ast
import operator
import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

# main.py, which is not compiled, and code that the host runs on a board by itself find the names of these.
KEPT = ("haipump_fw.ports.rp2.scratch",)
SMALL = 1 << 30  # from here on a number is an object of its own, and better made once

_NAME = re.compile(r"[A-Z_][A-Z0-9_]*")
_OPERATIONS: Mapping[type, Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.LShift: operator.lshift,
    ast.RShift: operator.rshift,
    ast.BitOr: operator.or_,
    ast.BitAnd: operator.and_,
}


class Unclear(Exception):
    """A constant's name is used in a way that can't be followed; the message names file, line and name."""


@dataclass(eq=False)
class _Module:
    name: str  # dotted
    path: str
    text: str
    tree: ast.Module
    numbers: dict[str, int] = field(default_factory=dict)  # own constants, and imported ones
    modules: dict[str, str] = field(default_factory=dict)  # alias: dotted name, of this project's modules
    definitions: list[ast.Assign] = field(default_factory=list)  # statements that only define constants


def inline(sources: Mapping[str, bytes], kept: Container[str] = KEPT) -> dict[str, bytes]:
    """The same files with constants replaced by numbers; paths as on the manifest. Raises Unclear, SyntaxError."""
    parsed = {dotted(path): _parsed(path, data) for path, data in sources.items() if path.endswith(".py")}
    order: list[_Module] = []
    for module in parsed.values():
        _visit(module, parsed, order)
    done = dict(sources)
    gone = {name for module in order if module.name not in kept for name in _names(module)}
    for module in order:
        done[module.path] = _replaced(module, parsed, module.name in kept, gone).encode()
    return done


def dotted(path: str) -> str:
    """The name of the module in a file of the manifest."""
    return path.removesuffix(".py").replace("/", ".").removesuffix(".__init__")


def _parsed(path: str, data: bytes) -> _Module:
    text = data.decode()
    return _Module(dotted(path), path, text, ast.parse(text, path))


def _names(module: _Module) -> Iterator[str]:
    """Those of the constants that the module defines itself."""
    for definition in module.definitions:
        yield from (node.id for node in ast.walk(definition.targets[0]) if isinstance(node, ast.Name))


def _visit(module: _Module, parsed: Mapping[str, _Module], order: list[_Module]) -> None:
    """Find the module's constants, those of the modules that it imports from first."""
    if module in order:
        return
    order.append(module)
    for statement in module.tree.body:
        if isinstance(statement, ast.ImportFrom) and statement.module:
            for alias in statement.names:
                name = alias.asname or alias.name
                inner = parsed.get(f"{statement.module}.{alias.name}")
                whole = parsed.get(statement.module)
                if inner is not None:
                    module.modules[name] = inner.name
                elif whole is not None:
                    _visit(whole, parsed, order)
                    if alias.name in whole.numbers:
                        module.numbers[name] = whole.numbers[alias.name]
        elif isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            found = _defined(statement, module)
            for name in found:
                if name in module.numbers:
                    raise _unclear(module, statement, name, "is assigned again")
            if found:
                module.numbers.update(found)
                module.definitions.append(statement)


def _defined(statement: ast.Assign, module: _Module) -> dict[str, int]:
    """The constants that an assignment defines; none when anything in it is something else."""
    target, value = statement.targets[0], statement.value
    names = target.elts if isinstance(target, ast.Tuple) else [target]
    if isinstance(value, ast.Tuple):
        values = [_number(element, module) for element in value.elts]
    elif isinstance(value, ast.Call) and ast.unparse(value.func) == "range":
        bounds = [_number(argument, module) for argument in value.args]
        values = [*range(*[bound for bound in bounds if bound is not None])] if None not in bounds else []
    else:
        values = [_number(value, module)]
    found: dict[str, int] = {}
    for name, number in zip(names, values, strict=False):
        if isinstance(name, ast.Name) and _NAME.fullmatch(name.id) and number is not None and abs(number) < SMALL:
            found[name.id] = number
    return found if len(found) == len(names) == len(values) else {}


def _number(node: ast.expr, module: _Module) -> int | None:
    """The whole number that an expression of constants is, or None."""
    if isinstance(node, ast.Constant):
        return node.value if type(node.value) is int else None
    if isinstance(node, ast.Name):
        return module.numbers.get(node.id)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        number = _number(node.operand, module)
        return None if number is None else -number
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "const" and len(node.args) == 1:
        return _number(node.args[0], module)
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATIONS:
        left, right = _number(node.left, module), _number(node.right, module)
        return None if left is None or right is None else _OPERATIONS[type(node.op)](left, right)
    return None


def _replaced(module: _Module, parsed: Mapping[str, _Module], kept: bool, gone: Container[str]) -> str:
    edits: list[tuple[ast.AST, str]] = []
    passed_over: set[ast.AST] = set()
    for definition in module.definitions:
        passed_over.update(ast.walk(definition.targets[0] if kept else definition))
        if not kept:
            edits.append((definition, ""))
    others = [node for node in ast.walk(module.tree) if node not in passed_over]
    needed = {node.id for node in others if isinstance(node, ast.Name)}
    for node in others:
        if isinstance(node, ast.ImportFrom) and node.module and node.module in parsed:
            edits.extend(_import_edit(node, module, parsed[node.module], needed))
        edits.extend(_use(node, module, parsed, gone))
    return edited(module.text, edits)


def _import_edit(
    statement: ast.ImportFrom, module: _Module, whole: _Module, needed: Container[str]
) -> Iterator[tuple[ast.AST, str]]:
    """The import without constants, and without the `const` that made them. Raises Unclear within a function."""
    for alias in statement.names:
        if alias.name in whole.numbers and (alias.asname or alias.name) not in module.numbers:
            raise _unclear(module, statement, alias.name, "is imported within a function")
    rest = [a for a in statement.names if a.name not in whole.numbers and (a.name != "const" or "const" in needed)]
    if len(rest) < len(statement.names):
        names = ", ".join(alias.name + (f" as {alias.asname}" if alias.asname else "") for alias in rest)
        yield statement, f"from {statement.module} import {names}" if rest else ""


def _use(
    node: ast.AST, module: _Module, parsed: Mapping[str, _Module], gone: Container[str]
) -> Iterator[tuple[ast.AST, str]]:
    """The replacement of one node that reads a constant. Raises Unclear for one that writes or hides it."""
    if isinstance(node, ast.Name) and node.id in module.numbers:
        if not isinstance(node.ctx, ast.Load):
            raise _unclear(module, node, node.id, "is assigned again")
        yield node, _literal(module.numbers[node.id])
    elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in module.modules:
        numbers = parsed[module.modules[node.value.id]].numbers
        if node.attr in numbers:
            yield node, _literal(numbers[node.attr])
    elif isinstance(node, ast.Attribute) and node.attr in gone:
        raise _unclear(module, node, node.attr, "is read of what may be a module; import its name")
    elif isinstance(node, ast.Name | ast.arg):
        name = node.arg if isinstance(node, ast.arg) else node.id
        hides = isinstance(node, ast.arg) or not isinstance(node.ctx, ast.Load)
        if hides and (name in module.numbers or name in module.modules):
            raise _unclear(module, node, name, "hides a module or a constant")


def _literal(number: int) -> str:
    return str(number) if number >= 0 else f"({number})"


def _unclear(module: _Module, node: ast.expr | ast.arg | ast.stmt, name: str, what: str) -> Unclear:
    return Unclear(f"{module.path}:{node.lineno}: {name} {what}")


def edited(text: str, edits: Iterable[tuple[ast.AST, str]]) -> str:
    """`text` with the source of each node replaced, of an attribute its name alone; as many lines as before."""
    lines = [line.encode() for line in text.splitlines(keepends=True)]
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    data = bytearray(b"".join(lines))

    def place(line: int, column: int) -> int:
        return starts[line - 1] + column

    spans = []
    for node, new in edits:
        last = place(node.end_lineno, node.end_col_offset)  # type: ignore[attr-defined]
        name = isinstance(node, ast.Attribute) and new.isidentifier()
        first = last - len(node.attr) if name else place(node.lineno, node.col_offset)  # type: ignore[attr-defined]
        spans.append((first, last, new))
    for first, last, new in sorted(spans, reverse=True):
        breaks = data[first:last].count(b"\n")
        data[first:last] = new.encode() + b"\n" * breaks
    return data.decode()
