"""`haipump status` and `haipump log` say how the last order ended, who ended it, and what of it is left."""

from __future__ import annotations

import json
import re

import haipump
from haipump_fw.core import ledger
from haipump_fw.ports import IN_STOP
from tests.host.report.quick_line import QuickLine
from tests.host.report.test_commands import line, run

__all__ = ["line"]  # a fixture


def bolus(line: QuickLine) -> int:
    with haipump.connect(line) as pump:
        pump.syringe("30mL", "30mL")
        pump.rate("1.3mL/day")
        order = pump.bolus("2mL", over="20min")
        line.sleep(300)
    return order.id


def text_of(*words: str) -> str:
    return " ".join(run(*words).replace("│", " ").split())


def test_a_bolus_that_the_stop_button_ended(line) -> None:
    number = bolus(line)
    line.core.press(IN_STOP, True)
    line.sleep(1)
    line.core.press(IN_STOP, False)
    assert "extended bolus was stopped before its end, by a button on the pump; 1.49" in text_of("status")
    last = json.loads(run("status", "--json"))["last_order"]
    assert last["order"] == number and last["why"] == "button" and 1_400_000 < last["left_nl"] < 1_510_000
    assert "stopped, was bolus, by a button on the pump" in text_of("log")


def test_a_bolus_that_a_power_loss_ended(line) -> None:
    number = bolus(line)
    with haipump.connect(line) as pump:
        true_left_nl = pump.status().extended_left_nl
    line.core.power(False)
    line.sleep(1)
    line.core.power(True)
    line.sleep(1)
    with haipump.connect(line) as pump:
        pump.ack()
    said = text_of("status")
    least = re.search(r"extended bolus was ended by a restart of the pump; at least (\S+) mL are left", said)
    assert "are left, and do not go on by themselves" in said
    last = json.loads(run("status", "--json"))["last_order"]
    assert last["order"] == number and last["result"] == "reset"
    basal_nl = 1_300_000 * 310 // 86_400  # may have been the bolus too, for all that the journal knows
    assert least and -ledger.COMMIT_NL - basal_nl <= round(float(least[1]) * 1e6) - true_left_nl <= 0
    told = rf"order {number}: extended bolus, ended by a restart of the pump: at most (\S+) mL"
    most = re.search(told, text_of("log"))
    assert most and round(float(most[1]) * 1e6) == 2_000_000 - round(float(least[1]) * 1e6)
    line.sleep(3600)
    with haipump.connect(line) as pump:
        assert pump.status().flow_nl_per_day == 0
