"""What a pump does, whatever core it runs on. Times are short, so that a real motor can be watched."""

import pytest

from haipump.errors import Refused


def microstep_nl(rig) -> float:
    return rig.pump.calibration().step_fl / 1e6


class TestPump:
    def test_it_says_who_it_is(self, rig):
        greeting = rig.pump.hello()
        assert greeting.protocol == 1
        assert rig.pump.info().protocol == 1
        assert rig.pump.status().state == "stopped"

    def test_an_immediate_bolus_is_delivered_to_the_microstep(self, rig):
        order = rig.pump.bolus("20 uL", within="10s")
        assert rig.pump.status().state == "bolus"
        status = order.wait(timeout_s=60)
        assert status.result == "complete"
        assert abs(status.stepped_nl - 20_000) <= microstep_nl(rig)
        assert rig.pump.status().state == "stopped"

    def test_a_rate_runs_until_it_is_stopped(self, rig):
        rig.pump.rate("100 mL/day")
        before = rig.pump.totals().stepped_nl
        clock = rig.pump.clock()
        rig.wait(10)
        after = rig.pump.totals().stepped_nl
        later = rig.pump.clock()
        elapsed_s = later.uptime_s - clock.uptime_s + (later.uptime_us - clock.uptime_us) / 1e6
        assert after - before == pytest.approx(elapsed_s * 100e6 / 86_400, abs=2 * microstep_nl(rig))
        assert rig.pump.stop().state == "stopped"

    def test_pause_keeps_the_exact_remainder(self, rig):
        order = rig.pump.bolus("20 uL", within="10s")
        rig.wait(3)
        left = rig.pump.pause().left_nl
        rig.wait(5)
        assert order.status().left_nl == left
        rig.pump.resume()
        assert abs(order.wait(timeout_s=60).stepped_nl - 20_000) <= microstep_nl(rig)

    def test_a_bolus_leaves_the_basal_rate_as_it_was(self, rig):
        rig.pump.rate("50 mL/day")
        rig.pump.bolus("10 uL", within="5s").wait(timeout_s=30)
        status = rig.pump.status()
        assert (status.state, status.basal_nl_per_day) == ("infusing", 50_000_000)

    def test_what_can_not_be_reached_is_refused_with_the_range(self, rig):
        with pytest.raises(Refused) as refusal:
            rig.pump.rate("90000 mL/day")
        assert "possible are" in str(refusal.value)
        assert rig.pump.status().state == "stopped"

    def test_stop_ends_everything(self, rig):
        order = rig.pump.bolus("1 mL", within="10min")
        rig.wait(2)
        assert rig.pump.stop().state == "stopped"
        assert order.status().result == "stopped"
        delivered = rig.pump.totals().stepped_nl
        rig.wait(2)
        assert rig.pump.totals().stepped_nl == delivered
