"""Standard output and error as the commands see them: nothing that happens to them decides about the pump.

Owns: what becomes of text that can't be written. Must not: know any command.

An order is carried out to its end, and the exit code tells of the pump, also when nobody reads what is said about it: a
script that sees a failure would give the dose again. A reader that has gone (`haipump ... | head`) has seen what it
wanted; a disk that is full has lost something, and that has an exit code of its own. Letters that the encoding of a
pipe lacks become question marks.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from haipump.errors import EXIT_OK, EXIT_OUTPUT

_READER_GONE = (errno.EPIPE, errno.EINVAL)  # EINVAL: a closed pipe on Windows


class _Lasting:
    """A stream whose writes do not fail. `failure` is the first that did; from then on all is dropped."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.failure: OSError | None = None

    def write(self, text: str) -> int:
        if self.failure is None:
            try:
                self._file.write(text)
            except OSError as failure:
                self._give_up(failure)
        return len(text)

    def flush(self) -> None:
        if self.failure is None:
            try:
                self._file.flush()
            except OSError as failure:
                self._give_up(failure)

    def _give_up(self, failure: OSError) -> None:
        self.failure = failure
        # What is left in the buffer would fail once more when the interpreter ends.
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._file.fileno())
            os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


@contextmanager
def lasting() -> Iterator[None]:
    """While it lasts, `sys.stdout` and `sys.stderr` never raise OSError or UnicodeEncodeError."""
    before: tuple[Any, Any] = sys.stdout, sys.stderr
    for file in before:
        if hasattr(file, "reconfigure") and not file.encoding.lower().startswith("utf"):
            file.reconfigure(errors="replace")
    made = [_Lasting(io.StringIO() if file is None else file) for file in before]  # None: closed by who started us
    sys.stdout, sys.stderr = made  # type: ignore[assignment]
    try:
        yield
    finally:
        for stream in made:
            stream.flush()
        sys.stdout, sys.stderr = before


def reader_gone() -> bool:
    """Nobody reads what is written any more: what only shows something may end."""
    return getattr(sys.stdout, "failure", None) is not None


def exit_code(code: int) -> int:
    """The exit code, given what the command ended with: EXIT_OUTPUT when it was done and its output is lost."""
    sys.stdout.flush()
    failure = getattr(sys.stdout, "failure", None)
    if failure is None or failure.errno in _READER_GONE or code != EXIT_OK:
        return code
    sys.stderr.write(f"It was done, but what is told of it could not be written ({failure.strerror}).\n")
    return EXIT_OUTPUT
