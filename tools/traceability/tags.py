"""The marks `@pytest.mark.requirement("ID", ...)` of the tests, read from their sources.

Owns: which test carries which id. Must not: import a test; reading takes a second, collecting ten.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

from tools.traceability.model import ROOT

MARK = "pytest.mark.requirement"


def tags(root: Path = ROOT) -> dict[str, list[str]]:
    """{id of a requirement: node ids of the tests that carry it}, both sorted."""
    found: dict[str, list[str]] = {}
    for path in sorted((root / "tests").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if MARK in text:
            for test, identity in _marked(ast.parse(text), path.relative_to(root).as_posix()):
                found.setdefault(identity, []).append(test)
    return {identity: sorted(found[identity]) for identity in sorted(found)}


def _marked(tree: ast.AST, prefix: str) -> Iterator[tuple[str, str]]:
    for node in getattr(tree, "body", ()):
        if isinstance(node, ast.ClassDef):
            yield from _marked(node, f"{prefix}::{node.name}")
        elif isinstance(node, ast.FunctionDef):
            for decorator in node.decorator_list:
                if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == MARK:
                    for argument in decorator.args:
                        yield f"{prefix}::{node.name}", ast.literal_eval(argument)
