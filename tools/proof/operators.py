"""Small changes of a function that each make it another one: comparison, arithmetic, constant, boolean, return.

Owns: the changes, and how one is named so that the name outlives edits elsewhere in the file. Must not: run anything.

Only what stands in functions is changed. Tables and named constants are data: they are compared with lists written by
hand (states, alarms, settings, layouts), and a changed one changes what tests import along with it.
"""

from __future__ import annotations

import ast
import contextlib
import copy
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitOr,
}


@dataclass(frozen=True)
class Change:
    """`lines` are the function's; `was` and `now` the changed expression or statement; `tree()` is the whole file with
    it, while in use."""

    file: str
    function: str
    lines: range = field(compare=False)
    line: int
    was: str
    now: str
    tree: Callable[[], contextlib.AbstractContextManager[ast.Module]] = field(compare=False)

    @property
    def name(self) -> str:
        """Without the line's number: the same after an edit elsewhere."""
        return f"{self.file}: {self.function}: {self.was}  ->  {self.now}"

    def text(self) -> str:
        """The whole file with it."""
        with self.tree() as tree:
            return ast.unparse(tree)


def _variants(node: ast.AST) -> Iterator[ast.AST]:
    """What may stand in the place of `node`."""
    if isinstance(node, ast.Compare):
        for at, operator in enumerate(node.ops):
            other = copy.deepcopy(node)
            other.ops[at] = COMPARISONS[type(operator)]()
            yield other
    elif isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in ARITHMETIC:
        if not (isinstance(node.op, ast.Mod) and isinstance(getattr(node, "left", None), ast.Constant)):  # a format
            other = copy.deepcopy(node)
            other.op = ARITHMETIC[type(node.op)]()
            yield other
    elif isinstance(node, ast.BoolOp):
        other = copy.deepcopy(node)
        other.op = ast.And() if isinstance(node.op, ast.Or) else ast.Or()
        yield other
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
        yield copy.deepcopy(node.operand)
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield ast.Constant(not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int):
        yield ast.Constant(node.value + 1)
    elif isinstance(node, ast.Return) and node.value is not None:
        if not (isinstance(node.value, ast.Constant) and node.value.value in (None, True, False)):
            yield ast.Return(None)


def _functions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, ast.FunctionDef]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef):
            yield from _functions(node, f"{prefix}{node.name}.")
        elif isinstance(node, ast.FunctionDef):
            yield prefix + node.name, node
        else:
            yield from _functions(node, prefix)


@contextlib.contextmanager
def _with(tree: ast.Module, node: ast.AST, other: ast.AST) -> Iterator[ast.Module]:
    """The file's tree with `other` in the place of `node`; afterwards it is as it was."""
    for parent in ast.walk(tree):
        for name, value in ast.iter_fields(parent):
            if value is node:
                setattr(parent, name, _placed(other, node))
                yield tree
                setattr(parent, name, node)
                return
            if isinstance(value, list):
                for at, item in enumerate(value):
                    if item is node:
                        value[at] = _placed(other, node)
                        yield tree
                        value[at] = node
                        return
    raise LookupError("the node is not in the tree")


def _placed(other: ast.AST, node: ast.AST) -> ast.AST:
    return ast.fix_missing_locations(ast.copy_location(other, node))


def changes(file: str, source: str) -> Iterator[Change]:
    """All changes of a file, in its order. Two of one name in a function are told apart by a number."""
    tree = ast.parse(source)
    seen: dict[str, int] = {}
    for function, body in _functions(tree):
        lines = range(body.body[0].lineno, (body.end_lineno or body.lineno) + 1)
        for statement in body.body:
            if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                continue  # a docstring
            for node in ast.walk(statement):
                for other in _variants(node):
                    was, now = ast.unparse(node), ast.unparse(other)
                    line = getattr(node, "lineno", statement.lineno)
                    if isinstance(node, ast.Constant):
                        was = f"{was} in `{_line(source, line)}`"
                    name = f"{function}: {was} {now}"
                    count = seen[name] = seen.get(name, 0) + 1
                    if count > 1:
                        was = f"{was} ({count})"
                    yield Change(file, function, lines, line, was, now, functools.partial(_with, tree, node, other))


def _line(source: str, number: int) -> str:
    return source.splitlines()[number - 1].strip()
