"""Parameters get names that are there anyway. Desktop only.

The interpreter keeps the name of every parameter, in case that somebody gives it by name, for as long as it runs: a
module that is freed again leaves its names behind. When the list of names is full, it wants a new one of twice the
length, 8 kB in one piece, which a heap that has been in use for a while does not have. So what a parameter is called
matters, though nobody outside its function sees it unless it is given by name.

Owns: which parameters may be called otherwise. Must not: touch a word that is anything else anywhere.
"""

import ast
from collections.abc import Iterator, Mapping

from haipump_fw.device.constants import edited

# In every MicroPython, and no builtin.
FEW = ("x", "y", "n", "s", "v", "r", "t", "e", "f", "b", "idx", "key", "addr", "arg", "text", "end", "src", "dest")

_Function = ast.FunctionDef | ast.Lambda


def rename(sources: Mapping[str, bytes]) -> dict[str, bytes]:
    """The same files with parameters called as one of FEW; lines stay where they are."""
    trees = {path: ast.parse(data, path) for path, data in sources.items()}
    taken = {"self", *(word for tree in trees.values() for word in _taken(tree))}
    done = {}
    for path, tree in trees.items():
        edits: list[tuple[ast.AST, str]] = []
        for function in _outermost(tree):
            edits += _edits(function, taken)
        done[path] = edited(sources[path].decode(), edits).encode()
    return done


def _edits(function: _Function, taken: set[str]) -> Iterator[tuple[ast.AST, str]]:
    """With the functions inside it, which may use its parameters."""
    nodes = list(ast.walk(function))
    given = [node.arg for node in nodes if isinstance(node, ast.arg)]
    used = {node.id for node in nodes if isinstance(node, ast.Name)} | set(given)
    free = [word for word in FEW if word not in used]
    names = dict(zip(dict.fromkeys(word for word in given if word not in taken), free, strict=False))
    for node in nodes:
        if isinstance(node, ast.Name) and node.id in names:
            yield node, names[node.id]
        elif isinstance(node, ast.arg) and node.arg in names:
            yield node, names[node.arg]


def _outermost(tree: ast.AST) -> Iterator[_Function]:
    """Functions that are in no other, methods among them."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, _Function):
            yield node
        else:
            yield from _outermost(node)


def _taken(tree: ast.Module) -> Iterator[str]:
    """Words that are more than parameters and local variables: what is given or set by name, or kept for good."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.keyword):
            yield node.arg or ""
        elif isinstance(node, ast.alias):
            yield (node.asname or node.name).partition(".")[0]
        elif isinstance(node, ast.Global | ast.Nonlocal):
            yield from node.names
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
    for statement in _of_module(tree):
        yield from (node.id for node in ast.walk(statement) if isinstance(node, ast.Name))


def _of_module(tree: ast.AST) -> Iterator[ast.AST]:
    """Everything that is in no function."""
    for node in ast.iter_child_nodes(tree):
        if not isinstance(node, _Function):
            yield from [node] if isinstance(node, ast.expr) else _of_module(node)
