"""The library against the real firmware on the direct core, in virtual time."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from typer.testing import CliRunner

import haipump
from haipump import programme
from haipump.answers import RawRecord
from haipump.cli import app, frame
from haipump.cli.delivery import last_rate
from haipump.errors import NotExecuted, OrderInterrupted, Refused, UsageError, WrongKey
from haipump.protocol.schema import MESSAGES
from haipump.records import decode
from haipump.transport import Disconnected
from haipump_fw.ports import IN_SERVICE
from tests.host.direct_line import DirectLine

STEP_NL = 232  # one microstep of the 30 mL syringe, rounded up


@pytest.fixture
def line() -> DirectLine:
    return DirectLine()


@pytest.fixture
def client(line):
    with haipump.connect(line) as connected:
        yield connected


@pytest.fixture
def loaded(client):
    client.syringe("30 mL", "30 mL")
    return client


def test_every_reading_fits_its_type(client) -> None:
    for read in (
        client.hello, client.info, client.status, client.sensors, client.totals, client.lifetime, client.limits,
        client.calibration, client.settings, client.clock, client.alarms,
    ):  # fmt: skip
        read()
    assert client.journal_page(1).first >= 1
    assert len(client.settings()) == len(MESSAGES["prepare_settings"].request)


def test_a_bolus_beside_a_rate_delivers_what_was_asked(loaded, line) -> None:
    loaded.rate("1.3 mL/day")
    status = loaded.bolus("0.1 mL", over="10 min").wait()
    assert status.result == "complete"
    assert abs(status.stepped_nl - 100_000) <= STEP_NL
    line.sleep(3_600)
    basal = Fraction(1_300_000, 86_400) * loaded.order(loaded.status().order).elapsed_s
    assert abs(loaded.totals().stepped_nl - 100_000 - basal) <= 2 * STEP_NL
    truth = line.core.plant.truth(line.core.now_us)
    assert truth.commanded_steps * 231_147_588 // 10**6 == pytest.approx(loaded.totals().stepped_nl, abs=STEP_NL * 100)


def test_a_programme_of_days(loaded, line) -> None:
    made = programme.daily("1.3 mL/day", 3, "0.1 mL", at="8h", at_end="stop")
    order = loaded.programme(made)
    line.sleep(made.duration_s - 60)
    status = order.wait()
    assert status.elapsed_s == made.duration_s
    assert abs(status.stepped_nl - made.exact_volume_nl) <= STEP_NL


def test_the_firmware_counts_the_example_as_the_host_does(loaded, tmp_path) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(programme.EXAMPLE)
    made = programme.load(path)
    plan = loaded.prepare_programme(made)  # compares volume and shape itself
    assert plan.values["items"] == 4
    assert abs(plan.values["volume_nl"] - made.exact_volume_nl) <= 1


def test_a_stop_in_a_bolus_is_confirmed_and_leaves_the_rest(loaded, line) -> None:
    order = loaded.bolus("1 mL", over="10 min")
    line.sleep(60)
    assert loaded.stop().state == "stopped"
    with pytest.raises(OrderInterrupted) as caught:
        order.wait()
    assert caught.value.stepped_nl == pytest.approx(100_000, abs=2_000)


def test_pause_resume_cancel_and_events(loaded) -> None:
    loaded.rate("1.3 mL/day")
    assert loaded.pause().state == "paused"
    assert loaded.resume().state == "infusing"
    order = loaded.bolus("0.1 mL", over="1 h")
    assert order.cancel().result == "stopped"
    names = [event.name for event in loaded.events(timeout_s=0.1)]
    assert "state" in names and "done" in names
    loaded.telemetry(1)
    tele = []
    for event in loaded.events(timeout_s=5):
        if event.name == "tele":
            tele.append(event)
        if len(tele) == 3:
            break
    assert [event.fields["uptime_s"] for event in tele] == sorted({event.fields["uptime_s"] for event in tele})
    loaded.telemetry(0)


def test_a_refill(loaded, line) -> None:
    assert loaded.refill_begin() == "refill"
    loaded.syringe("10 mL", "9 mL")
    assert loaded.refill_end() == "stopped"
    assert loaded.status().reservoir_nl == 9_000_000
    assert loaded.calibration().syringe_nl == 10_000_000


def test_refusals_carry_numbers(loaded) -> None:
    with pytest.raises(Refused) as caught:
        loaded.bolus("6 mL")
    assert caught.value.code == "limit"
    assert "at most 5 mL" in caught.value.what
    loaded.rate("1.3 mL/day")
    with pytest.raises(Refused) as caught:
        loaded.rate("13 mL/day")
    assert caught.value.code == "override"
    assert "1.3 mL/day before" in caught.value.what
    loaded.rate("13 mL/day", override=True)


def test_limits_settings_and_calibration_are_changed_and_read_back(loaded) -> None:
    loaded.set_limits(occlusion_pa=50_000)
    assert loaded.limits().occlusion_pa == 50_000
    loaded.set_settings(kvo_nl_per_day=300_000)
    assert loaded.setting("kvo_nl_per_day").value == 300_000
    loaded.calibrate(backlash_steps=10)
    assert loaded.calibration().backlash_steps == 10


def test_the_journal_tells_orders_and_the_last_rate(loaded, line) -> None:
    order = loaded.rate("1.3 mL/day")
    line.sleep(60)
    loaded.stop()
    records = [decode(record.data) for record in loaded.journal()]
    assert [record.seq for record in records] == list(range(records[0].seq, records[0].seq + len(records)))
    assert any(record.name == "intent" and record.fields["order"] == order.id for record in records)
    assert last_rate(loaded, "stopped") == 1_300_000
    assert all(isinstance(record, RawRecord) for record in loaded.journal())


def begin_rate(client) -> None:
    client.rate("1 mL/day", vtbi="1 mL", override=True)


def begin_programme(client) -> None:
    client.programme(programme.daily("1.3 mL/day", 14, "0.1 mL"), override=True)


def begin_kvo(client) -> None:
    client.kvo()


@pytest.mark.parametrize("cut", [True, False])
@pytest.mark.parametrize(
    ("begin", "was", "again"),
    [
        (begin_rate, "a rate of 1 mL/day until 1 mL", "`haipump rate 1mL/day --vtbi 1mL`"),
        (begin_programme, "a programme of 19.6 mL", "`haipump program`"),
        (begin_kvo, "KVO at", "`haipump kvo`"),
    ],
)
def test_start_never_goes_back_behind_the_last_order(loaded, line, begin, was: str, again: str, cut: bool) -> None:
    loaded.rate("20 mL/day")
    line.sleep(60)
    begin(loaded)
    line.sleep(600)
    if cut:
        line.core.power(False)
        line.sleep(1)
        line.core.power(True)
        line.sleep(2)
        loaded.hello()
        loaded.ack()
    else:
        loaded.stop()
    with pytest.raises(UsageError) as caught:
        last_rate(loaded, "stopped")
    assert was in caught.value.what and again in caught.value.next_step
    assert "nothing was started" in caught.value.state
    loaded.rate("2 mL/day", ramp="1h")
    line.sleep(60)
    loaded.stop()
    assert last_rate(loaded, "stopped") == 2_000_000, "a ramp leads to a rate without an end"


class PowerCutLine(DirectLine):
    """Cuts the power so long after a line with `verb` has begun to arrive; the answer never gets out."""

    verb = b""
    after_us = 0

    def write(self, data: bytes) -> None:
        if self.verb and self.verb in data:
            self.verb = b""
            self.core.send(data)
            self.core.run_until(self.core.now_us + self.after_us)
            self.core.power(False)
            self.core.run_until(self.core.now_us + 1_000_000)
            del self.core.output[:]
            self.core.power(True)
            self.core.run_until(self.core.now_us + 1_000_000)
            raise Disconnected("the power was cut")
        super().write(data)


@pytest.mark.parametrize("after_us", [0, 1_000, 5_000, 6_000, 8_000, 10_000, 20_000, 50_000])
def test_a_power_cut_between_order_and_answer(after_us: int) -> None:
    line = PowerCutLine()
    with haipump.connect(line) as client:
        client.syringe("30 mL", "30 mL")
        steps: list[int] = []

        class Listener:
            enabled = False  # without it the driver does not see a step: those of the self test

            def on_step(self, t_us: int, direction: int) -> None:
                if self.enabled:
                    steps.append(t_us)

            def on_event(self, t_us: int, name: str, fields: dict[str, Any]) -> None:
                if name == "enable":
                    self.enabled = bool(fields["on"])
                elif name in ("reset", "power"):
                    self.enabled = False

        line.core.listeners.append(Listener())
        line.verb, line.after_us = b" commit ", after_us
        plan = client.prepare_bolus("2 mL")
        try:
            order = client.commit(plan)
            begun = True
            assert order.recovered
        except NotExecuted:
            begun = False
            assert not steps, "it moved, and was reported not executed"
        line.sleep(60)
        intents = [r for r in map(lambda raw: decode(raw.data), client.journal()) if r.name == "intent"]
        assert len(intents) == begun
        assert client.status().state == "stopped"


class PowerLossLine(DirectLine):
    """The power goes at a time, for a second; the line to the computer holds."""

    cut_at_s: float | None = None

    def read(self, timeout_s: float) -> bytes:
        data = super().read(timeout_s)
        if self.cut_at_s is not None and self.now() >= self.cut_at_s:
            self.cut_at_s = None
            self.core.power(False)
            self.sleep(1)
            self.core.power(True)
            self.sleep(1)
        return data


@pytest.mark.parametrize("basal", [False, True])
def test_a_power_loss_in_a_wait_ends_with_what_may_have_been_delivered(basal: bool) -> None:
    line = PowerLossLine()
    with haipump.connect(line) as client:
        client.syringe("30 mL", "30 mL")
        if basal:
            client.rate("24 mL/day")  # in a minute it adds 16,667 nL
            line.sleep(600)
        order = client.bolus("2 mL", over="2 min")
        line.cut_at_s = line.now() + 60
        before = line.core.plant.truth(line.core.now_us).commanded_steps
        with pytest.raises(OrderInterrupted) as caught:
            order.wait()
        steps = line.core.plant.truth(line.core.now_us).commanded_steps - before
        share_nl = steps * 231_147_588 // 10**6 - (16_667 if basal else 0)
        assert caught.value.stepped_nl <= share_nl + 1_000
        assert caught.value.stepped_max_nl >= share_nl - 1_000
        assert 900_000 < caught.value.stepped_nl < caught.value.stepped_max_nl < 1_200_000
        assert caught.value.result == "reset" and caught.value.exit_code == 5
        assert "the pump restarted during the order" in caught.value.what and " to " in caught.value.what
        assert client.status().state == "stopped" or client.status().alarm == "power_lost"
        # asked again, also by a host that saw nothing of it
        assert client.order(order.id).result == "reset" and client.order(order.id).source == "extended"
        with pytest.raises(OrderInterrupted) as caught:
            haipump.Order(client, order.id).wait()
        assert caught.value.stepped_nl == 0 and share_nl <= caught.value.stepped_max_nl <= 2_000_000


def test_an_order_that_ended_before_a_restart_is_known_from_the_journal(loaded, line) -> None:
    order = loaded.bolus("10 uL")
    assert order.wait().result == "complete"
    stopped = loaded.bolus("1 mL", over="10 min", override=True)
    line.sleep(60)
    loaded.stop()
    kept = stopped.status()
    line.core.power(False)
    line.sleep(1)
    line.core.power(True)
    line.sleep(1)
    assert order.wait().result == "complete"
    again = loaded.order(stopped.id)
    assert (again.result, again.stepped_nl, again.planned_nl) == ("stopped", kept.stepped_nl, 1_000_000)
    with pytest.raises(Refused):
        loaded.order(999)


# --- the key of locked mode


def with_jumper(line: DirectLine) -> None:
    """Started with the service jumper closed."""
    line.core.press(IN_SERVICE, True)
    line.core.power(False)
    line.core.power(True)


OLD, NEW = "ab" * 32, "cd" * 32


def locked_with_old(line: DirectLine) -> None:
    """Locked with OLD, and started with the service jumper closed."""
    with_jumper(line)
    with haipump.connect(line) as connected:
        connected.set_key(OLD)
        connected.lock()


def test_a_locked_pumps_key_is_changed_and_the_new_one_goes_on(line) -> None:
    locked_with_old(line)
    with haipump.connect(line, key=OLD) as connected:
        connected.set_key(NEW)
        connected.lock()
        connected.silence()
    with haipump.connect(line, key=OLD) as stranger, pytest.raises(WrongKey):
        stranger.silence()
    with haipump.connect(line, key=NEW) as owner:
        owner.unlock()
        owner.set_key("00" * 32)  # deletes it
        assert owner.conversation.key is None
        with pytest.raises(Refused, match="no key"):
            owner.lock()


class DeafLine(DirectLine):
    """Loses what the pump says after a line with `deaf_to`, `answers` answers of it."""

    deaf_to = b" set_key "
    answers = 0

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._deaf = False

    def write(self, data: bytes) -> None:
        self._deaf = self.deaf_to in data and self.answers > 0
        self.answers -= self._deaf
        super().write(data)

    def read(self, timeout_s: float) -> bytes:
        data = super().read(timeout_s)
        return b"" if self._deaf else data


@pytest.mark.parametrize("lost", [1, 4])
def test_a_key_whose_answer_is_lost_is_found_by_asking_which_the_pump_has(lost) -> None:
    line = DeafLine()
    locked_with_old(line)
    line.answers = lost
    with haipump.connect(line, key=OLD) as connected:
        connected.set_key(NEW)  # its repetition is signed with a key that the pump has no more
        connected.unlock()


def test_a_key_that_the_pump_proves_not_to_have_was_not_taken(line) -> None:
    locked_with_old(line)
    with haipump.connect(line, key=OLD) as connected:
        assert not connected.conversation.has_key(bytes.fromhex(NEW))
        assert not connected.conversation.has_key(bytes(32))
        connected.unlock()  # it goes on with the old one


def test_the_command_changes_the_key_of_a_locked_pump(line, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(frame, "connect", lambda port, key, **more: haipump.connect(line, key, **more))
    monkeypatch.setattr(frame, "find_ports", lambda: [])

    def run(words: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, words.split())
        return result.exit_code, " ".join(result.output.split())

    with_jumper(line)
    ka, kb = tmp_path / "ka", tmp_path / "kb"
    assert run(f"-y lock --new-key {ka}")[0] == 0
    code, text = run(f"--key-file {ka} -y lock --new-key {kb}")
    assert code == 0 and "The pump is locked" in text and "does not open this pump any more" in text, text
    assert "does not prove" in run(f"--key-file {ka} unlock")[1]
    assert run(f"--key-file {kb} unlock")[0] == 0
