"""What was interrupted is never resumed by itself, and what is left of it is told: by `order`, the boot event, the
journal; and the journal says who ended it."""

from __future__ import annotations

import pytest

from haipump_fw.core.ledger import COMMIT_NL
from haipump_fw.core.states import STATES
from haipump_fw.ports import IN_STOP
from haipump_fw.proto.messages import WHYS
from tests.firmware.app.bench import STEP_FL, Pump, pump

STEP_NL = STEP_FL / 1_000_000
VOLUME_NL = 2_000_000


def boot_event(of: Pump) -> dict[str, object]:
    return [fields for _, name, fields in of.said if name == "boot"][-1]


def cut(of: Pump) -> None:
    of.core.power(False)
    of.run(1)
    of._rest = ""
    of.core.output.clear()
    of.core.power(True)
    of.run(0.3)
    of.next_id = of.ask("hello")["next_id"]


@pytest.mark.requirement("REQ-X-03", "A13")
@pytest.mark.parametrize("after_s", [0.05, 3, 100, 599, 601, 1190])
@pytest.mark.parametrize("basal", [False, True])
def test_the_rest_of_a_bolus_that_a_power_loss_ended(basal, after_s):
    of = pump()
    if basal:
        of.order("prepare_rate rate_nl_per_day=24000000")
        of.run(400)
    before = of.net
    number = of.order(f"prepare_bolus volume_nl={VOLUME_NL} duration_s=1200")
    of.run(after_s)
    cut(of)
    delivered = (of.net - before) * STEP_NL * (1 if not basal else 144 / (144 + 24))  # its share of the flow
    told = of.ask(f"order id={number}")
    assert (told["result"], told["source"], told["planned_nl"]) == ("reset", "bolus", VOLUME_NL)
    assert told["left_nl"] <= VOLUME_NL - delivered + STEP_NL, "more is left than was not delivered"
    most = (of.net - before) * STEP_NL + COMMIT_NL + STEP_NL
    assert told["left_nl"] >= VOLUME_NL - most - STEP_NL and told["commanded_nl"] <= VOLUME_NL
    assert boot_event(of)["order"] == number and boot_event(of)["left_nl"] == told["left_nl"]
    result = next(record for record in of.journal_of("result") if record["order"] == number)
    assert (result["result"], result["commanded_nl"], result["stepped_nl"]) == (5, told["commanded_nl"], 0)
    steps = of.steps
    of.run(3600)
    assert of.steps == steps and of.state() == "stopped", "nothing goes on by itself"


def test_a_second_power_loss_forgets_nothing_that_the_journal_has():
    of = pump()
    number = of.order(f"prepare_bolus volume_nl={VOLUME_NL} duration_s=1200")
    of.run(300)
    cut(of)
    of.flush()
    left_nl = of.ask(f"order id={number}")["left_nl"]
    cut(of)
    assert boot_event(of)["order"] == 0 and boot_event(of)["left_nl"] == 0
    result = next(record for record in of.journal_of("result") if record["order"] == number)
    assert result["planned_nl"] - result["commanded_nl"] == left_nl


def test_an_order_of_an_earlier_version_may_have_been_delivered_as_a_whole():
    """Its intent does not say what was stepped before it: nothing is certain to be left."""
    of = pump()
    record = of.app.storage.record

    def without(kind: str, *values: int) -> bool:
        return record(kind, *values[:-1], 0) if kind == "intent" else record(kind, *values)

    of.app.storage.record = without
    number = of.order(f"prepare_bolus volume_nl={VOLUME_NL} duration_s=1200")
    of.run(300)
    cut(of)
    assert of.ask(f"order id={number}")["left_nl"] == 0


def test_handling_that_a_power_loss_ended_was_done_at_most_as_a_whole():
    of = pump()
    number = of.order("prepare_prime volume_nl=500000 disconnected=1")
    of.run(5)
    cut(of)
    told = of.ask(f"order id={number}")
    assert (told["source"], told["result"], told["left_nl"]) == ("prime", "reset", 0)


def test_no_order_without_a_power_loss():
    of = pump()
    of.power_cycle()
    of.run(0.1)
    assert boot_event(of) | {"order": 0, "left_nl": 0} == boot_event(of)


def whys(of: Pump) -> list[tuple[str, str]]:
    """(state, why) of all state records."""
    return [(STATES[record["state"]], WHYS[record["why"]]) for record in of.journal_of("state")]


@pytest.mark.requirement("GIP-4.1.1-4")
def test_the_journal_says_what_changed_the_state():
    of = pump()
    start = len(whys(of))
    of.order("prepare_rate rate_nl_per_day=24000000")
    of.run(1)
    of.core.press(IN_STOP, True)
    of.run(1)
    of.core.press(IN_STOP, False)
    of.run(1)
    of.order("prepare_rate rate_nl_per_day=24000000")
    of.run(1)
    of.answer(b"stop\n")
    of.order("prepare_bolus volume_nl=10000")
    of.run(20)
    of.order("prepare_rate rate_nl_per_day=24000000")
    of.run(1)
    of.core.plant.driver_fault(of.now, True)
    of.run(1)
    of.core.plant.driver_fault(of.now, False)
    of.run(1)
    of.act("ack")
    of.flush()
    assert whys(of)[start:] == [
        ("infusing", "other"),
        ("stopped", "button"),
        ("infusing", "other"),
        ("stopped", "host"),
        ("bolus", "other"),
        ("stopped", "complete"),
        ("infusing", "other"),
        ("alarm", "alarm"),
        ("stopped", "acknowledged"),
    ]
