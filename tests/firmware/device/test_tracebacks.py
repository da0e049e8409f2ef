"""Tracebacks of a device: found in what it prints, and led back to the sources."""

from pathlib import Path

import pytest

from haipump_fw import device
from haipump_fw.device import tracebacks

ROOT = Path(device.__file__).resolve().parents[2]
APP = ROOT / "haipump_fw" / "app.py"
LINE = next(n for n, text in enumerate(APP.read_text("utf-8").splitlines(), 1) if "def run(self" in text)
PRINTED = (
    b"#7 tele state=infusTraceback (most recent call last):\r\n"
    b'  File "main.py", line 26, in start\r\n'
    b'  File "haipump_fw.app", line %d, in run\r\n'
    b'  File "<stdin>", line 1\r\n'
    b"ValueError: no such rate\r\n#8 boot\r\n"
) % LINE


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_a_traceback_is_found_however_it_comes(size, monkeypatch):
    monkeypatch.chdir(ROOT)
    finder = tracebacks.Finder()
    found = [t for start in range(0, len(PRINTED), size) for t in finder.feed(PRINTED[start : start + size])]
    (traceback,) = found
    assert traceback.error == "ValueError: no such rate"
    main, run, stdin = traceback.frames
    assert str(main) == "main.py:26 in start"
    assert main.text == (ROOT / "main.py").read_text("utf-8").splitlines()[25].strip()
    assert str(run) == f"haipump_fw/app.py:{LINE} in run"
    assert run.text.startswith("def run(self")
    assert (str(stdin), stdin.text, stdin.file) == ("<stdin>:1", "", None)


def test_of_another_version_no_lines_are_shown():
    (traceback,) = tracebacks.Finder(sources=False).feed(PRINTED)
    assert [str(frame) for frame in traceback.frames] == [
        "main.py:26 in start",
        f"haipump_fw.app:{LINE} in run",
        "<stdin>:1",
    ]
    assert {frame.text for frame in traceback.frames} == {""}


def test_elsewhere_the_whole_path_is_shown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert str(tracebacks.frame("haipump_fw.app", 1, "")) == f"{APP}:1"


@pytest.mark.parametrize("name", ["haipump_fw", "haipump_fw.ports.rp2.board", "main.py", "boot.py"])
def test_every_kind_of_file_has_a_source(name):
    source = tracebacks.source(name)
    assert source is not None and source.is_file()


@pytest.mark.parametrize("name", ["haipump_fw.gone", "asyncio/core.py", "..", "haipump_fw...passwd"])
def test_what_is_not_ours_has_none(name):
    assert tracebacks.source(name) is None


def test_a_line_beyond_the_end_has_no_text():
    assert tracebacks.frame("haipump_fw.app", 1_000_000, "").text == ""
    assert tracebacks.frame("haipump_fw.app", 0, "").text == ""


def test_an_endless_one_ends():
    finder = tracebacks.Finder()
    finder.feed(b"Traceback (most recent call last):\n")
    found = finder.feed(b'  File "main.py", line 1, in f\n' * (tracebacks.FRAMES_MAX + 1))
    assert len(found) == 1 and len(found[0].frames) == tracebacks.FRAMES_MAX


def test_other_lines_are_none():
    assert tracebacks.Finder().feed(b'ok\n  File "main.py", line 1, in f\nValueError\n') == []
