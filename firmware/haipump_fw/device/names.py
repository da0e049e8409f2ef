"""Words that repeat become names, which are one object for all their uses on the device. Desktop only.

MicroPython keeps a short string that a function uses as a name, once for all. But a string inside a constant tuple, or
of more than 10 characters, becomes an object of 32 bytes and more at each place, unless the name is known by then. The
tables are made of such tuples: `stopped` stood 25 times on the heap, and all such words took 21 kB of it.

Owns: which words are worth a name, and the function in the package's first file that makes them known. It is never
called, and forgotten once it is loaded. Must not: change anything else.
"""

import ast
import keyword
import re
from collections import Counter
from collections.abc import Iterator, Mapping

# Loaded for a moment and freed again: a word that only they use is better freed with them.
PASSING = tuple(f"haipump_fw/{name}.py" for name in ("configuration", "doses", "handling", "programmes", "recovery"))
FIRST = "haipump_fw/__init__.py"  # loaded before all others
WORTH = 50  # bytes that a new name must save; it takes some itself

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_INTERNED = 10  # characters of a string that the compiler takes for a name
_OBJECT = 16
_NAME = 10  # bytes that a name takes besides its letters


def known(sources: Mapping[str, bytes]) -> dict[str, bytes]:
    """The same files, with the words known from the first one on."""
    objects: Counter[str] = Counter()
    names: set[str] = set()
    for path, data in sources.items():
        tree = ast.parse(data, path)
        inside = {node for whole in ast.walk(tree) if _constant(whole) for node in ast.walk(whole)}
        texts = _docstrings(tree)
        for node in ast.walk(tree):
            names.update(_names(node))
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in texts:
                if path in PASSING:
                    continue
                if node in inside or len(node.value) > _INTERNED:
                    objects[node.value] += 1
                else:
                    names.add(node.value)
    words = sorted(word for word, count in objects.items() if _worth(word, count, names))
    body = "".join(f"    x.{word}\n" for word in words)
    function = f"\n\ndef words(x):\n{body}\n\ndel words\n"
    return {**sources, FIRST: sources[FIRST] + function.encode()} if words else dict(sources)


def _worth(word: str, count: int, names: set[str]) -> bool:
    if keyword.iskeyword(word) or not _WORD.fullmatch(word):
        return False
    size = count * (_OBJECT + -(-(len(word) + 1) // 16) * 16)
    return word in names or size - len(word) - _NAME >= WORTH


def _constant(node: ast.AST) -> bool:
    """A tuple that the compiler makes, not the program."""
    return isinstance(node, ast.Tuple) and all(
        isinstance(element, ast.Constant)
        or (isinstance(element, ast.UnaryOp) and isinstance(element.operand, ast.Constant))
        or _constant(element)
        for element in node.elts
    )


def _docstrings(tree: ast.Module) -> set[ast.AST]:
    """Strings that stand for themselves: the compiler drops them."""
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}


def _names(node: ast.AST) -> Iterator[str]:
    """What is a name in any case. Local variables are none, which does not matter much."""
    if isinstance(node, ast.Name):
        yield node.id
    elif isinstance(node, ast.Attribute):
        yield node.attr
    elif isinstance(node, ast.arg | ast.keyword):
        yield node.arg or ""
    elif isinstance(node, ast.FunctionDef | ast.ClassDef | ast.alias):
        yield node.name
