"""Service ends by itself on the chip: half an hour at MicroPython's prompt, then the pump is there again."""

from __future__ import annotations

from tests.chip.pump import ChipPump

SERVICE_S = 30 * 60


def test_a_pump_left_in_service_comes_back(pump_uf2):
    pump = ChipPump(pump_uf2)
    pump.load()
    pump.ask("service")
    pump.run(2)
    assert [fields for _, name, fields in pump.told if name == "reset"][-1] == {"cause": "service"}
    boots = pump.core.boots
    pump.core.run_until(pump.now_us + (SERVICE_S - 10) * 1_000_000)
    assert pump.core.boots == boots, "still at the prompt"
    pump.core.run_until(pump.now_us + 15 * 1_000_000)
    assert pump.core.boots == boots + 1
    pump.text = ""
    hello = pump.ask("hello", signed=False)
    assert int(hello["boot"]) == 2 and int(hello["protocol"]) == 1
    assert pump.ask("info", signed=False)["reset"] == "request"
    assert pump.ask("status", signed=False)["state"] == "stopped"
