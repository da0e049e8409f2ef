"""Private attributes get short names, the same few in every file. Desktop only.

On the device every name is kept once, with all its letters, for as long as it runs, and the longer the list of names,
the longer takes each search in it. What a private attribute (`self._checked_period_us`) is called matters to nobody
outside its file: not to tracebacks, which name functions. So 160 names become 20.

Owns: which attributes are the private data of one file. Must not: touch a function's name, or one that two files share.
"""

import ast
import itertools
import string
from collections.abc import Iterator, Mapping

from haipump_fw.device.constants import edited


def shorten(sources: Mapping[str, bytes]) -> dict[str, bytes]:
    """The same files with short names for private attributes; lines stay where they are."""
    trees = {path: ast.parse(data, path) for path, data in sources.items()}
    taken = {word for tree in trees.values() for word in _other_names(tree)}
    own = {path: _own(tree) for path, tree in trees.items()}
    private = {path: sorted(own[path] - taken) for path in trees}
    # A word that a file uses though it does not set it is another file's: then it is not that one's own.
    shared = {node.attr for path, tree in trees.items() for node in _attributes(tree) if node.attr not in own[path]}
    fresh = [word for word in _short() if word not in taken][: max(map(len, private.values()), default=0)]
    done = {}
    for path, tree in trees.items():
        names = dict(zip([word for word in private[path] if word not in shared], fresh, strict=False))
        edits = [(node, names[node.attr]) for node in _attributes(tree) if node.attr in names]
        done[path] = edited(sources[path].decode(), edits).encode()
    return done


def _attributes(tree: ast.Module) -> Iterator[ast.Attribute]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Attribute))


def _own(tree: ast.Module) -> set[str]:
    """Attributes with one underscore in front that the file sets."""
    set_here = {node.attr for node in _attributes(tree) if isinstance(node.ctx, ast.Store)}
    return {word for word in set_here if word.startswith("_") and not word.startswith("__")}


def _other_names(tree: ast.Module) -> Iterator[str]:
    """Names of everything that is no attribute of an object, and words that might name one (`getattr`)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def _short() -> Iterator[str]:
    """_a, _b ... _z, _aa, _ab ..."""
    for length in (1, 2):
        for letters in itertools.product(string.ascii_lowercase, repeat=length):
            yield "_" + "".join(letters)
