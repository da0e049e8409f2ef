"""MicroPython's official release, as rp2040py downloads and caches it; in a process of its own, for the time it takes.

Owns: how long that may take. A look-up of a name can't be interrupted, and rp2040py waits half a minute for every
address; without a network the user wants to know within seconds. Must not: judge what came.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from rp2040py.boards import BOARDS, resolve_firmware

SILENCE_S = 4.0  # for each address, and later for each piece of the file
REACH_S = 8.0  # until the server answers: names, addresses, proxies and all
WHOLE_S = 60.0  # for 700 kB


class Unreachable(Exception):
    """The release can't be had; the message says why."""


def fetch(version: str) -> Path:
    """The UF2 file of that release, somewhere in rp2040py's cache. Raises Unreachable, within REACH_S when offline."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        done = subprocess.run(
            [sys.executable, "-m", __name__, version],
            env=environment,
            cwd=tempfile.gettempdir(),  # a file there that is called like the version would be taken for the image
            capture_output=True,
            text=True,
            timeout=REACH_S + WHOLE_S + SILENCE_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Unreachable("the download did not end") from None
    lines = (done.stderr if done.returncode else done.stdout).strip().splitlines()
    if done.returncode or not lines:
        raise Unreachable(lines[-1] if lines else f"the download ended with {done.returncode}")
    return Path(lines[-1])


class _Hurried:
    """What urllib opens with in this process: gives up sooner than its caller asks for."""

    def __init__(self, reached: Callable[[], None]) -> None:
        self._reached = reached

    def open(self, url: Any, data: Any = None, timeout: Any = None) -> Any:
        response = urllib.request.build_opener().open(url, data, SILENCE_S)
        self._reached()
        return _Hurry(response)


class _Hurry:
    """A response that ends in TimeoutError when the whole takes too long; rp2040py then removes what it has."""

    def __init__(self, response: Any) -> None:
        self._response = response
        self._late = threading.Event()
        self._timer = threading.Timer(WHOLE_S, self._late.set)
        self._timer.daemon = True
        self._timer.start()

    def __enter__(self) -> _Hurry:
        return self

    def __exit__(self, *failure: object) -> None:
        self._timer.cancel()
        self._response.close()

    def read(self, count: int) -> bytes:
        if self._late.is_set():
            raise TimeoutError
        return self._response.read(count)


def _give_up() -> NoReturn:
    sys.stderr.write(f"no answer within {REACH_S:.0f} s\n")
    sys.stderr.flush()
    os._exit(1)  # the look-up of a name holds the main thread


def main(version: str) -> None:
    """Print the path of the file, or the reason why there is none and exit with 1."""
    reach = threading.Timer(REACH_S, _give_up)
    reach.daemon = True
    reach.start()
    opener: Any = _Hurried(reach.cancel)
    urllib.request.install_opener(opener)
    try:
        found = resolve_firmware(BOARDS["pico"], "micropython", version).image
    except (OSError, ValueError) as error:
        sys.exit(str(getattr(error, "reason", error)))
    if found is None:
        sys.exit("the server does not have it, or stopped sending it")
    sys.stdout.write(f"{Path(found).resolve()}\n")


if __name__ == "__main__":
    main(sys.argv[1])
