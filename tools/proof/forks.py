"""Tests that are collected once, then run in forks, many thousand times; in each fork one function is another one.

A fork begins where the tests would: all is imported. The changed function gets its code in its place (`__code__`), so
that whoever holds it, runs it. That is no good for what has run while modules were imported: see `Reached.early`.

What does not end is found by work, not by time: every function and every loop of the firmware's pure half ticks, and a
test may tick WORK_FACTOR times as often as it does on the unchanged firmware. Time is only the last resort, for what
hangs without a tick.

Owns: the session, the forks, the ticks. Must not: choose tests, keep verdicts, or change the tree. It fills the process
that it is used in with the firmware: `apart` is for that.
"""

from __future__ import annotations

import ast
import contextlib
import copy
import gc
import importlib.abc
import importlib.machinery
import importlib.util
import itertools
import json
import operator
import os
import pickle
import select
import signal
import sys
import time
import traceback
import types
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import coverage
import pytest
from _pytest.capture import CaptureManager

from tools.proof.runner import WORDS
from tools.traceability.model import ROOT

FIRMWARE = ROOT / "firmware" / "haipump_fw"
PURE = ("core", "proto", "store")
WORK_FACTOR = 20
WORK_SPARE = 50_000  # ticks, for a test that hardly enters the firmware
TIME_FACTOR = 40
TIME_SPARE_S = 20
_TICKS = 1 << 60
_TICK = "_proof_tick"


@dataclass(frozen=True)
class Reached:
    """What one run of the tests has shown. `lines`: {file: {line: tests}}; `early`: {file: lines that have run before
    the first test}; `cost`: {test: seconds, ticks}."""

    lines: dict[str, dict[int, list[str]]]
    early: dict[str, list[int]]
    cost: dict[str, tuple[float, int]]

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(vars(self)), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Reached:
        data = json.loads(path.read_text(encoding="utf-8"))
        lines = {file: {int(line): tests for line, tests in by.items()} for file, by in data["lines"].items()}
        cost = {test: (seconds, ticks) for test, (seconds, ticks) in data["cost"].items()}
        return cls(lines, data["early"], cost)


@dataclass(frozen=True)
class Task:
    """`tree`: the file, below firmware/haipump_fw, with the change in it. `tests`: node ids, in their order."""

    name: str
    file: str
    tree: Callable[[], contextlib.AbstractContextManager[ast.Module]]
    tests: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """`caught`: what failed first, "hangs" or "import"; None: no test failed. `ran`: how many tests ran."""

    task: Task
    caught: str | None
    ran: int
    seconds: float


def apart(work: Callable[[], None]) -> None:
    """Do it in a fork of its own, and wait for its end. RuntimeError when it failed."""
    sys.stdout.flush()
    process = os.fork()
    if process == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    try:
        _, status = os.waitpid(process, 0)
    except BaseException:
        os.kill(process, signal.SIGTERM)
        raise
    if status:
        raise RuntimeError("see above")


# --- ticking code ---


class _Ticking(ast.NodeTransformer):
    """A call of `_TICK` at the begin of each function and each round of a loop."""

    def _tick(self, node: ast.stmt) -> ast.stmt:
        name = ast.Name(_TICK, ast.Load())
        tick = ast.copy_location(ast.Expr(ast.Call(name, [], [])), node)
        return ast.fix_missing_locations(tick)

    def _begin(self, node: ast.FunctionDef | ast.For | ast.While) -> ast.AST:
        first = node.body[0]
        self.generic_visit(node)
        node.body.insert(0, self._tick(first))
        return node

    visit_FunctionDef = visit_For = visit_While = _begin


def ticking(tree: ast.Module, path: Path) -> types.CodeType:
    """The module's code, ticking. The tree stays as it is."""
    return compile(_Ticking().visit(copy.deepcopy(tree)), str(path), "exec")


def _functions(code: types.CodeType) -> Iterator[types.CodeType]:
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            yield inner
            yield from _functions(inner)


def _place(code: types.CodeType) -> tuple[str, str, int]:
    return code.co_filename, code.co_qualname, code.co_firstlineno


class _Modules:
    """The firmware's pure half as it is in memory: its code can be exchanged."""

    def __init__(self) -> None:
        self._live: dict[tuple[str, str, int], list[types.FunctionType]] = {}
        gc.unfreeze()  # what tests/conftest.py froze is not among the objects
        for found in gc.get_objects():
            if isinstance(found, types.FunctionType):
                self._live.setdefault(_place(found.__code__), []).append(found)
        self._spaces = [vars(m) for name, m in list(sys.modules.items()) if name.startswith("haipump_fw.")]

    def put(self, code: types.CodeType) -> None:
        for function in _functions(code):
            for live in self._live.get(_place(function), ()):
                live.__code__ = function

    def wind(self, ticks: int) -> Callable[[], int]:
        """From now on so many ticks are left; what comes back tells how many still are. The one behind them raises
        StopIteration; none takes memory, as some tests count that."""
        left = itertools.repeat(None, ticks)
        for space in self._spaces:
            space[_TICK] = left.__next__
        return lambda: operator.length_hint(left)


class _Again(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """What is imported a second time (the pump forgets modules that it needs no more) is the changed one too."""

    def __init__(self, name: str, code: types.CodeType) -> None:
        self._name, self._code = name, code
        self._tick = vars(sys.modules[name])[_TICK]

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        return importlib.util.spec_from_loader(fullname, self) if fullname == self._name else None

    def get_source(self, fullname: str) -> None:
        """Nobody asks."""

    def get_code(self, fullname: str) -> types.CodeType:
        return self._code

    def exec_module(self, module: types.ModuleType) -> None:
        vars(module)[_TICK] = self._tick
        super().exec_module(module)


# --- the session ---


class _Notes:
    """A pytest plugin: what failed first."""

    def __init__(self) -> None:
        self.caught: str | None = None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and self.caught is None:
            self.caught = report.nodeid


class _Loop:
    """A pytest plugin: instead of running the tests, do `work` with the session once they are collected."""

    def __init__(self, work: Callable[[pytest.Session], None]) -> None:
        self._work = work
        self.done = False

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        capture = session.config.pluginmanager.getplugin("capturemanager")
        assert isinstance(capture, CaptureManager)
        capture.suspend_global_capture()  # each test resumes it for itself
        self._work(session)
        self.done = True
        return True


def session(suites: tuple[str, ...], work: Callable[[pytest.Session], None], plugins: tuple[object, ...] = ()) -> None:
    """Collect, then do `work`."""
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(ROOT))
    loop = _Loop(work)
    # Captured by words, not by files: a fork would share those.
    code = pytest.main([*WORDS, "--capture=sys", "-qq", *suites], plugins=[loop, *plugins])
    if not loop.done:
        raise RuntimeError(f"the tests can't be collected ({code}): run them with pytest")


def _ticking_modules() -> _Modules:
    modules = _Modules()
    modules.wind(_TICKS)
    for part in PURE:
        for path in (FIRMWARE / part).glob("*.py"):
            modules.put(ticking(ast.parse(path.read_text(encoding="utf-8")), path))
    return modules


def measure(suites: tuple[str, ...]) -> Reached:
    """Run all tests on the unchanged firmware, which must pass. Fills this process: see `apart`."""
    trace = coverage.Coverage(data_file=None, config_file=False, source=[str(FIRMWARE / part) for part in PURE])
    notes = _Notes()
    cost: dict[str, tuple[float, int]] = {}

    def work(found: pytest.Session) -> None:
        trace.stop()
        modules = _ticking_modules()
        left = modules.wind(_TICKS)
        for item, following in itertools.pairwise([*found.items, None]):
            assert item is not None
            begun, before = time.process_time(), left()
            trace.start()
            trace.switch_context(item.nodeid)
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            trace.stop()
            cost[item.nodeid] = (time.process_time() - begun, before - left())

    trace.start()
    session(suites, work, (notes,))
    if notes.caught:
        raise SystemExit(f"{notes.caught} fails without any change: mend that first.")
    data = trace.get_data()
    lines: dict[str, dict[int, list[str]]] = {}
    early: dict[str, list[int]] = {}
    for path in data.measured_files():
        name = Path(path).relative_to(FIRMWARE).as_posix()
        by_line = data.contexts_by_lineno(path)
        lines[name] = {line: sorted(test for test in tests if test) for line, tests in by_line.items()}
        early[name] = sorted(line for line, tests in by_line.items() if "" in tests)
    return Reached(lines, early, cost)


# --- forks ---


class _Fork:
    """One task, in a process of its own."""

    def __init__(self, task: Task, modules: _Modules, items: dict[str, pytest.Item], reached: Reached) -> None:
        self.task = task
        self.begun = time.monotonic()
        self.pipe, write = os.pipe()
        self.process = os.fork()
        if self.process == 0:
            os.close(self.pipe)
            self._child(modules, items, reached, write)
        os.close(write)

    def _child(self, modules: _Modules, items: dict[str, pytest.Item], reached: Reached, write: int) -> None:
        os.setpgid(0, 0)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 1)
        os.dup2(nothing, 2)
        caught, ran = "import", 0
        try:
            with self.task.tree() as tree:
                code = ticking(tree, FIRMWARE / self.task.file)
            modules.put(code)
            caught, ran = self._tests(modules, code, items, reached)
        finally:
            os.write(write, pickle.dumps((caught, ran)))
            os._exit(0)

    def _tests(
        self, modules: _Modules, code: types.CodeType, items: dict[str, pytest.Item], reached: Reached
    ) -> tuple[str | None, int]:
        chosen = [items[test] for test in self.task.tests]
        notes = _Notes()
        chosen[0].config.pluginmanager.register(notes)
        name = "haipump_fw." + self.task.file.removesuffix(".py").replace("/", ".")
        for ran, (item, following) in enumerate(itertools.pairwise([*chosen, None]), 1):
            assert item is not None
            seconds, ticks = reached.cost[item.nodeid]
            left = modules.wind(ticks * WORK_FACTOR + WORK_SPARE)
            sys.meta_path.insert(0, _Again(name, code))
            signal.setitimer(signal.ITIMER_VIRTUAL, seconds * TIME_FACTOR + TIME_SPARE_S)  # its end is this process's
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            del sys.meta_path[0]
            if not left():
                return "hangs", ran
            if notes.caught:
                return notes.caught, ran
        return None, len(chosen)

    def over(self) -> Outcome:
        """What it has found, once its pipe is ready."""
        data = os.read(self.pipe, 65_536)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process, signal.SIGKILL)  # ours: a test may have left something
        os.waitpid(self.process, 0)
        os.close(self.pipe)
        caught, ran = pickle.loads(data) if data else ("hangs", 0)
        return Outcome(self.task, caught, ran, time.monotonic() - self.begun)

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.killpg(self.process, signal.SIGKILL)
            os.waitpid(self.process, 0)


def run(
    suites: tuple[str, ...], tasks: Iterator[Task], workers: int, reached: Reached, done: Callable[[Outcome], None]
) -> None:
    """Carry out all tasks, `workers` at a time; `done` is called with each outcome, before the next task is drawn.
    Fills this process: see `apart`."""

    def work(found: pytest.Session) -> None:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        modules = _ticking_modules()
        items = {item.nodeid: item for item in found.items}
        gc.freeze()
        running: list[_Fork] = []
        try:
            while True:
                while len(running) < workers and (task := next(tasks, None)) is not None:
                    running.append(_Fork(task, modules, items, reached))
                if not running:
                    return
                ready, _, _ = select.select([each.pipe for each in running], [], [])
                for each in [each for each in running if each.pipe in ready]:
                    running.remove(each)
                    done(each.over())
        finally:
            for each in running:
                each.kill()

    session(suites, work)
