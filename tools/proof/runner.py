"""Tests against a copy of the sources that was broken on purpose, in processes of their own, many one after the other.

Owns: the copy, the process, its end. Must not: change the tree, import the firmware or a test into this process (a
fork would then have the whole one), or judge what came out.

What all tests need and no break touches is imported once, here; a fork then begins with the tests themselves.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pickle
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import hypothesis.extra.pytestplugin  # noqa: F401 - so that no fork has to
import numpy  # noqa: F401
import pytest

from tools.traceability.model import ROOT

SOURCE_ROOTS = ("firmware", "emulator", "host_tools")
LIMIT_S = 60  # of processor time, for one job: a break may make a loop endless
# For pytest, of all who break something.
WORDS = (
    *("-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-W", "ignore::pytest.PytestAssertRewriteWarning"),
    *("--core", "direct", "--hypothesis-profile", "proof"),
)
_WALL_MAX = 20  # times that of wall clock, for one that waits for what never comes


def options(description: str, one: str) -> argparse.ArgumentParser:
    """What everybody may be asked for who breaks something; `one` is what a single break is called by."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("names", nargs="*", metavar=one, help="only these")
    parser.add_argument("--sample", type=int, default=0, help="only so many, spread over all")
    parser.add_argument("--seed", type=int, default=0, help="which ones of a sample")
    parser.add_argument("--trust", action="store_true", help="with nothing broken the tests pass: don't look")
    parser.add_argument("--workers", type=int, default=2)
    return parser


@dataclass(frozen=True)
class Job:
    """`edits`: {file, as a path below the repository: its text}. `tests`: node ids, the likeliest first."""

    name: str
    edits: dict[str, str]
    tests: tuple[str, ...]
    limit_s: int = LIMIT_S


@dataclass(frozen=True)
class Verdict:
    """`caught`: what failed first, "hangs" for what did not end, "import" for what broke before any test; None: no
    test failed. `ran`: how many tests ran."""

    job: Job
    caught: str | None
    ran: int
    seconds: float
    output: str = field(default="", compare=False)


class _Notes:
    """A pytest plugin: what failed first, and how many ran."""

    def __init__(self) -> None:
        self.caught: str | None = None
        self.ran = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call":
            self.ran += 1
        if report.failed and self.caught is None:
            self.caught = report.nodeid

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed and self.caught is None:
            self.caught = "import"


@contextlib.contextmanager
def broken(edits: dict[str, str]) -> Iterator[dict[str, Path]]:
    """Copies of the source roots that `edits` touches, with the edits in them: {source root: where its copy is}."""
    with tempfile.TemporaryDirectory(prefix="haipump-proof-") as folder:
        roots = {name: ROOT / name for name in SOURCE_ROOTS}
        for name in {Path(path).parts[0] for path in edits}:
            roots[name] = Path(folder) / name
            shutil.copytree(ROOT / name, roots[name])
        for path, text in edits.items():
            top, *rest = Path(path).parts
            roots[top].joinpath(*rest).write_text(text, encoding="utf-8")
        yield roots


def _child(job: Job, roots: dict[str, Path], out: int) -> None:
    """Run the tests and write (caught, how many ran, exit code) to `out`; never returns."""
    notes = _Notes()
    sys.dont_write_bytecode = True
    paths = [str(roots[name]) for name in SOURCE_ROOTS]
    sys.path[:] = [*paths, str(ROOT), *[path for path in sys.path if Path(path).name not in SOURCE_ROOTS]]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)
    code: int | str = "died"
    try:
        words = [*WORDS, "-x", "-o", "pythonpath=" + " ".join([*paths, "."]), *job.tests]
        code = int(pytest.main(words, plugins=[notes]))
        if code > 1 and notes.caught is None:
            notes.caught = "import" if code in (2, 3) else None
    except BaseException:
        traceback.print_exc()
    finally:
        os.write(out, pickle.dumps((notes.caught, notes.ran, code)))
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def _start(job: Job, roots: dict[str, Path], log: Path) -> tuple[int, int]:
    """(process, file descriptor that its verdict comes on)"""
    read, write = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(read)
        os.setpgid(0, 0)
        said = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(said, 1)
        os.dup2(said, 2)
        resource.setrlimit(resource.RLIMIT_CPU, (job.limit_s, job.limit_s + 1))
        _child(job, roots, write)
    os.close(write)
    return process, read


class _Running:
    def __init__(self, job: Job) -> None:
        self.job = job
        self.stack = contextlib.ExitStack()
        roots = self.stack.enter_context(broken(job.edits))
        self.folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory(prefix="haipump-proof-log-")))
        self.begun = time.monotonic()
        self.process, self.pipe = _start(job, roots, self.folder / "log")

    def over(self, ready: bool) -> Verdict | None:
        """The verdict, once it is there or the time is over."""
        seconds = time.monotonic() - self.begun
        if not ready and seconds < self.job.limit_s * _WALL_MAX:
            return None
        data = os.read(self.pipe, 65_536) if ready else b""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process, signal.SIGKILL)  # ours: a test may have left something
        _, status = os.waitpid(self.process, 0)
        os.close(self.pipe)
        log = self.folder / "log"
        output = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
        self.stack.close()
        if not ready or (not data and os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU):
            return Verdict(self.job, "hangs", 0, seconds, output)
        if not data:
            return Verdict(self.job, "import", 0, seconds, output)
        caught, ran, code = pickle.loads(data)
        if caught is None and not ran:
            raise RuntimeError(f"{self.job.name}: no test ran ({code})\n{output[-2000:]}")
        return Verdict(self.job, caught, ran, seconds, output)


def run(jobs: Iterable[Job], workers: int, done: Callable[[Verdict], None]) -> None:
    """Carry out all jobs, `workers` at a time; `done` is called with each verdict as it comes."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that no process of ours is left
    waiting = iter(jobs)
    running: list[_Running] = []
    try:
        while True:
            while len(running) < workers and (job := next(waiting, None)) is not None:
                running.append(_Running(job))
            if not running:
                return
            ready, _, _ = select.select([each.pipe for each in running], [], [], 0.2)
            for each in list(running):
                if (verdict := each.over(each.pipe in ready)) is not None:
                    running.remove(each)
                    done(verdict)
    finally:
        for each in running:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.killpg(each.process, signal.SIGKILL)
                os.waitpid(each.process, 0)
            each.stack.close()
