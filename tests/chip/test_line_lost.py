"""The serial line goes while the pump delivers: a cable that is pulled, a host that sleeps or stops reading."""

from haipump_fw import ports
from tests.chip.branch import branch
from tests.chip.pump import ChipPump

WATCHDOG_S = 8.4
BOLUS = "prepare_bolus volume_nl=100000"  # 14.4 steps/s for 30 s, backlash behind it


def begin_bolus(pump: ChipPump) -> None:
    pump.order("prepare_rate rate_nl_per_day=1300000")
    pump.run(2)
    pump.order(BOLUS)
    pump.core.send(b"telemetry period_ms=100\n")
    pump.run(3)


def even(pump: ChipPump, since: int) -> None:
    """All steps from number `since` on came as if nothing had happened: those of the bolus, and the basal's between."""
    times = [t for t, _ in pump.steps[since:]]
    gaps = {b - a for a, b in zip(times, times[1:], strict=False)}
    assert max(gaps) - min(gaps) <= 2_000, sorted(gaps)


def test_a_cable_that_is_pulled_stops_nothing_and_comes_back(stopped, part):
    """MicroPython would wait for ever for room in its buffer, and the watchdog would end the therapy."""

    def pulled(phase_us: int) -> None:
        pump = stopped
        begin_bolus(pump)
        pump.run_us(phase_us)
        boots, since = pump.core.boots, len(pump.steps)
        pump.core.usb_connected = False
        pump.run(WATCHDOG_S + 1)
        assert pump.core.boots == boots and len(pump.steps) - since > 100
        even(pump, since)
        pump.core.usb_connected = True
        pump.run(0.3)  # enumeration, the port is opened
        pump.text = ""
        pump.run(0.5)
        assert pump.text.count(" tele ") in (4, 5)
        assert pump.ask("status", signed=False)["state"] == "bolus"
        pump.ask("telemetry period_ms=0", signed=False)
        pump.ask("stop", signed=False)
        pump.ledger_agrees()

    for phase_us in part(range(59_838, 159_838, 9_973), 1):  # without frames the first one left the pump mute
        branch(lambda phase_us=phase_us: pulled(phase_us))


def test_a_host_that_does_not_read_delays_neither_a_step_nor_an_alarm(stopped, part):
    def unread(phase_us: int) -> int:
        pump = stopped
        begin_bolus(pump)
        pump.run_us(phase_us)
        since = len(pump.steps)
        pump.core.host_reads = False
        pump.run(5)
        even(pump, since)
        assert len(pump.steps) - since > 60
        began_us = pump.now_us
        pump.core.plant.driver_fault(began_us, True)
        pump.run(1)
        assert any(name == "tone" and fields["frequency_hz"] for t, name, fields in pump.told if t > began_us)
        boots = pump.core.boots
        pump.core.host_reads = True
        pump.run(1)
        pump.ask("telemetry period_ms=0", signed=False)
        assert pump.core.boots == boots and pump.ask("status", signed=False)["state"] == "alarm"
        pump.ledger_agrees()
        return pump.off_after_us(began_us)

    for phase_us in part(range(0, 100_000, 9_973), 1):
        assert 0 <= branch(lambda phase_us=phase_us: unread(phase_us)) < 20_000


def test_a_button_wakes_the_loop_from_its_sleep(stopped):
    """Asleep between two basal steps, 15 s apart, with a line that nobody serves."""

    def pressed() -> int:
        pump = stopped
        pump.order("prepare_rate rate_nl_per_day=1300000")
        pump.run(20)
        pump.core.usb_connected = False
        pump.run(3.3)
        began_us = pump.now_us
        pump.core.press(ports.IN_STOP, True)
        pump.run_us(30_000)
        return pump.off_after_us(began_us)

    assert 0 <= branch(pressed) < 2_000
