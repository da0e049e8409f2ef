"""What becomes of the output decides nothing: a dose is given once, and the exit code tells of the pump."""

from __future__ import annotations

import errno
import io
import json
import os
import subprocess
import sys

import pytest

import haipump
from haipump.cli import frame, main
from tests.host.device import FakePump, Line


class Broken(io.StringIO):
    """Takes so many writes, then fails with `number` as a closed pipe or a full disk does."""

    encoding = "utf-8"

    def __init__(self, number: int, takes: int = 0) -> None:
        super().__init__()
        self.number, self.takes = number, takes

    def write(self, text: str) -> int:
        self.takes -= 1
        if self.takes < 0:
            raise OSError(self.number, os.strerror(self.number))
        return super().write(text)

    def flush(self) -> None:
        if self.takes < 0:
            raise OSError(self.number, os.strerror(self.number))


@pytest.fixture
def line(pump: FakePump, monkeypatch) -> Line:
    pump.settings["syringe_nl"] = 30_000_000
    made = Line(pump)
    monkeypatch.setattr(frame, "connect", lambda port, key, **more: haipump.connect(made, key, **more))
    monkeypatch.setattr(frame, "find_ports", lambda: [])
    return made


def code_of(words: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main(words.split())
    return caught.value.code  # type: ignore[return-value]


@pytest.mark.parametrize("takes", range(4))
@pytest.mark.parametrize("words", ["bolus 0.05mL -y -w", "bolus 0.05mL -y --json", "rate 1.3mL/day -y"])
def test_an_order_whose_reader_has_gone_is_done_and_no_failure(line, pump, monkeypatch, words, takes) -> None:
    monkeypatch.setattr(sys, "stdout", Broken(errno.EPIPE, takes))
    assert code_of(words) == 0
    assert len(pump.orders_executed()) == 1
    if "-w" in words:
        assert [order.result for order in pump.orders.values()] == ["complete"], "it was waited for"


def test_a_full_disk_has_an_exit_code_of_its_own(line, pump, monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "stdout", Broken(errno.ENOSPC))
    assert code_of("stop") == haipump.errors.EXIT_OUTPUT == 7
    errors = capsys.readouterr().err
    assert "It was done" in errors and "No space left" in errors and "Traceback" not in errors
    pump.refuse["prepare_rate"] = ("busy", [])
    assert code_of("rate 1mL/day -y") == haipump.errors.EXIT_REFUSED == 1, "what the pump did comes first"


def test_a_watch_ends_with_its_reader(line, monkeypatch) -> None:
    line.pump.app.state = "infusing"
    monkeypatch.setattr(sys, "stdout", Broken(errno.EPIPE))
    told = [haipump.Event(number, "button") for number in range(1, 4)]
    monkeypatch.setattr(haipump.Pump, "events", lambda pump, timeout_s: iter(told))
    assert code_of("watch --json") == 0


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
@pytest.mark.parametrize("words", ["", "status", "rate 1mL/day -y", "--help", "settings"])
def test_every_encoding_can_be_written(line, monkeypatch, encoding: str, words: str) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    assert code_of(words) == 0
    sys.stdout.flush()
    assert raw.getvalue() and b"?" not in raw.getvalue().replace(b"?\n", b"")


def run(words: list[str], out: int | None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from haipump.cli import main; main()", *words],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=out, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, check=False,
    )  # fmt: skip


@pytest.mark.skipif(sys.platform == "win32", reason="a pipe is closed otherwise there")
def test_a_real_pipe_that_is_closed_leaves_no_traceback() -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    done = run(["syringe"], theirs)
    os.close(theirs)
    assert done.returncode == 0 and done.stderr == ""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has a full device")
def test_a_real_full_device_leaves_one_line() -> None:
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = run(["syringe"], full.fileno())
    assert done.returncode == 7 and done.stderr.count("\n") == 1


# --- mistakes in the command line


@pytest.mark.parametrize(
    ("words", "what", "where"),
    [
        ("rate", "Missing argument", "haipump rate --help"),
        ("bolus 1mL 2mL", "unexpected extra argument", "haipump bolus --help"),
        ("bogus", "No such command", "haipump --help"),
    ],
)
def test_a_usage_error_says_the_state_and_what_to_do(line, capsys, words: str, what: str, where: str) -> None:
    assert code_of(words) == 2
    text = " ".join(capsys.readouterr().err.split())
    assert what in text and "Nothing was sent to the pump." in text and f"Next: See `{where}`" in text
    assert code_of(words + " --json") == 2
    assert where in json.loads(capsys.readouterr().out)["error"]["next_step"]


@pytest.mark.parametrize(
    ("words", "verb", "field", "value"),
    [
        ("rate 0.5 ml/h -y", "prepare_rate", "rate_nl_per_day", 12_000_000),
        ("bolus 0.01 mL -y", "prepare_bolus", "volume_nl", 10_000),
        ("bolus 0.01 mL --over 10 min -y", "prepare_bolus", "duration_s", 600),
        ("settings kvo=0.3 mL/day -y", "prepare_settings", "kvo_nl_per_day", 300_000),
        ("limits --occlusion 50 kPa -y", "prepare_limits", "occlusion_pa", 50_000),
    ],
)
def test_a_number_and_its_unit_may_be_two_words(line, pump, words: str, verb: str, field: str, value: int) -> None:
    assert code_of(words) == 0
    assert pump.executed[-1][0] == verb and pump.executed[-1][2][field] == value


def test_two_quantities_are_not_joined(line, pump, capsys) -> None:
    assert code_of("rate 0.5 1 -y") == 2
    assert code_of("jog 100 --disconnected -y") == 0
    assert pump.executed[-1][2]["steps"] == 100
