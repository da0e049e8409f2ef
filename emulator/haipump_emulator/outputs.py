"""Files that a run is to write: whether they can be written is asked before the run begins, which takes seconds.

Owns: that question, and its answer in words. Must not: make or touch a file.
"""

import os
from pathlib import Path


class OutputError(Exception):
    """A file can't be written; the message says which and what to do."""


def check(option: str, path: Path | None) -> None:
    """`path` is what `option` was given; None: nothing. Raises OutputError."""
    if path is None:
        return
    if path.is_dir():
        raise OutputError(f"{option}: {path} is a folder; name a file in it")
    if not path.parent.is_dir():
        raise OutputError(f"{option}: can't write {path}: there is no folder {path.parent}; make it, or name another")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise OutputError(f"{option}: can't write {path}: you may not; name another file")
