"""Many futures of one present: each trial begins at the very same instant, with the same bytes in RAM.

Owns: making a copy of this process for a trial, and bringing back what it found. Must not: know what is tried.

A chip can't be copied as an object, and booting one for each trial would cost seconds. A forked process is a copy of
everything; it works on its own, is waited for, and leaves nothing behind.
"""

from __future__ import annotations

import os
import pickle
import traceback
import warnings
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")


def branch(trial: Callable[[], Found]) -> Found:
    """What `trial()` returns in a copy of this process; nothing of what it does to objects is seen here. Raises
    AssertionError with its traceback when it failed."""
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        # A test runner's worker has threads. The copy uses none of their locks: it computes, writes, and is gone.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        _try_it(trial, reader, writer)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        answer = pipe.read()
    _, status = os.waitpid(child, 0)
    if not answer:
        raise AssertionError(f"a trial ended with status {status}")
    found, problem = pickle.loads(answer)
    if problem:
        raise AssertionError(problem)
    return found


def _try_it(trial: Callable[[], object], reader: int, writer: int) -> None:
    """In the copy; does not return, so that nothing of the process that was copied is ended or flushed twice."""
    os.close(reader)
    try:
        try:
            answer = trial(), ""
        except BaseException:
            answer = None, traceback.format_exc()
        with os.fdopen(writer, "wb") as pipe:
            pickle.dump(answer, pipe)
    finally:
        os._exit(0)
