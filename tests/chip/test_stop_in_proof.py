"""A stop while an order is proven against the dose limit, which can take the chip seconds: the motor is off at once,
the order is refused, the pump goes on. And no order, however close to a limit, takes as long as the watchdog allows.

The proof is the deepest work there is: a stack too short for it, and for the interrupts on top, ends in a reset.
"""

from __future__ import annotations

import base64
import hashlib

from tests.chip.branch import branch
from tests.chip.pump import ChipPump

# A module that is loaded, or a collection of memory, has no place in the middle to hear anything.
BAR_US = 45_000
REVERSED_US = 1_200_000  # docs/detection.md, dir_flipped: 30 mL, 60 mL/h
ANSWER_MAX_US = 5_000_000  # the watchdog comes after 8.3 s
WINDOW = "window_s=3600 max_dose_nl="
PROGRAMME = ["haipump-programme 1", "period_s 20000", "repeats 300", "at_end kvo"] + [
    line
    for i in range(31)
    for line in (f"{i * 600} ramp {20_000_000 + i * 7919 % 1000 * 1000} 500", f"{i * 600 + 50} bolus 10000 60")
]


def limited(pump: ChipPump, most_nl: int) -> str:
    """The pump runs with a dose limit and has a long programme. Returns the programme's order."""
    data = "\n".join([*PROGRAMME, "18800 rate 0", ""]).encode()
    digest = hashlib.sha256(data).hexdigest()
    pump.order("prepare_limits max_bolus_nl=5000000")
    pump.order(f"prepare_dose {WINDOW}{most_nl}")
    pump.order("prepare_rate rate_nl_per_day=1300000")
    pump.ask(f"part_begin what=programme size={len(data)} sha256={digest}")
    for offset in range(0, len(data), 90):
        pump.ask(f"part offset={offset} data={base64.b64encode(data[offset : offset + 90]).decode()}")
    return f"prepare_programme override=1 sha256={digest}"


def stopped_after(pump: ChipPump, order: str, phase_us: int, words: bytes) -> int:
    """An order, and a stop so much later. Returns the microseconds until EN was off."""
    pump.text = ""
    assert pump.core.send(pump.signed(order))
    pump.run_us(phase_us)
    began_us = pump.now_us
    assert "@" not in pump.text, "it was answered: there was nothing to interrupt"
    assert pump.core.send(words)
    while pump.off_after_us(began_us) < 0 and pump.now_us < began_us + 9_000_000:
        pump.run_us(500)
    pump.run_us(300_000)
    assert "err code=state what=stopped_meanwhile" in pump.text.replace("state=stopped ", ""), pump.text
    assert "Traceback" not in pump.text
    assert pump.ask("status", signed=False)["state"] == "stopped"
    return pump.off_after_us(began_us)


def test_a_stop_ends_the_proof_of_a_programme(stopped, part):
    def trial() -> list[int]:
        order = limited(stopped, 950_000)
        phases = part(range(60_000, 1_900_000, 40_000), 4)
        words = [b"stop\n", b"\n!\n", b"status\nstatus\n!\n"]
        return [
            branch(lambda at=at, phase=phase: stopped_after(stopped, order, phase, words[at % 3]))
            for at, phase in enumerate(phases)
        ]

    late = branch(trial)
    assert max(late) < BAR_US, late


def test_no_order_takes_as_long_as_the_watchdog(stopped):
    def trial() -> dict[str, str]:
        order = limited(stopped, 950_000)
        stopped.order("prepare_bolus volume_nl=300000")
        stopped.run(100)  # what was given is in the window: the search goes through all of it, more than once
        stopped.text = stopped.transcript = ""
        began_us = stopped.now_us
        assert stopped.core.send(stopped.signed(order))
        answer = stopped.wait_for(r"^@\d+ ((?:ok|err) .*) \*", ANSWER_MAX_US)
        assert "Traceback" not in stopped.transcript
        assert stopped.ask("status", signed=False)["state"] == "infusing"
        return {"answer": answer, "us": str(stopped.now_us - began_us)}

    said = branch(trial)
    assert "limit=max_dose_nl" in said["answer"], said


def test_the_sensors_are_looked_at_in_the_middle_of_a_proof(stopped):
    """A bolus of 60 mL/h, and the driver turns the other way while an order is worked out."""

    def trial() -> tuple[int, str]:
        stopped.order("prepare_settings bolus_nl_per_day=1440000000")
        order = limited(stopped, 950_000)
        stopped.order("prepare_bolus volume_nl=300000")
        stopped.run(3)
        stopped.text = ""
        assert stopped.core.send(stopped.signed(order))
        stopped.run_us(300_000)
        began_us = stopped.now_us
        stopped.core.plant.wire(began_us, "dir", "flipped")
        stopped.run(4)
        return stopped.off_after_us(began_us), stopped.text

    off_us, said = branch(trial)
    assert 0 < off_us <= REVERSED_US + BAR_US, (off_us, said)
    assert "what=stopped_meanwhile" in said and "alarm=reverse_delivery" in said, said
