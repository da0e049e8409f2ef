"""The same bar for the whole pump: lines in, steps out; the firmware's loop, storage and supervision between them."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise

import pytest

from haipump_emulator.plant import PlantParams
from tests.firmware.exact.lives import programme, spread
from tests.firmware.exact.pump import Pump

LOWEST, GENTLE, FASTEST = 50_000, 5_900_000_000, 39_000_000_000
OPEN = {"max_rate_nl_per_day": 100_000_000_000, "max_bolus_nl": 5_000_000, "reservoir_low_nl": 0}


def opened(seed: int = 1, params: PlantParams | None = None, **settings: int) -> Pump:
    pump = Pump(seed, params, **settings)
    pump.order("limits", " ".join(f"{name}={value}" for name, value in OPEN.items()))
    return pump


def act(pump: Pump, rng: random.Random) -> str:
    """One random command; the answer."""
    name = rng.choice(
        ("rate", "rate", "vtbi", "bolus", "bolus", "extended", "ramp", "programme", "kvo", "pause", "resume", "resume")
        + ("cancel", "stop", "prime", "withdraw", "ack", "refill", "end_refill", "selftest", "silence", "button")
    )
    if name == "rate":
        return pump.rate(spread(LOWEST, 400_000_000, rng.random()))
    if name == "vtbi":
        return pump.vtbi(
            spread(1_000_000, 400_000_000, rng.random()),
            spread(1_000, 300_000, rng.random()),
            rng.choice(("stop", "kvo")),
        )
    if name in ("bolus", "extended"):
        return pump.bolus(spread(1_000, 200_000, rng.random()), spread(5, 3_000, rng.random()), int(name == "extended"))
    if name == "ramp":
        return pump.ramp(spread(LOWEST, 400_000_000, rng.random()), spread(10, 100_000, rng.random()))
    if name == "programme":
        return pump.programme(programme(rng, LOWEST, 200_000_000)[0])
    if name == "kvo":
        return pump.kvo()
    if name in ("prime", "withdraw"):
        return pump.handle(name, spread(1_000, 50_000, rng.random()))
    if name == "refill":
        pump.command("refill phase=begin")
        pump.run(1)
        pump.handle("prime", 2_000)
        pump.check()
        pump.run(1)
        pump.check()
        return pump.command("refill phase=end")
    if name == "button":
        pump.core.press(64, True)  # stop
        pump.run(0.1)
        pump.core.press(64, False)
        return "button"
    lines = {
        "cancel": ("cancel_bolus", True),
        "stop": ("stop", False),
        "end_refill": ("refill phase=end", True),
    }
    return pump.command(*lines.get(name, (name, True)))


@pytest.mark.requirement("A13")
@pytest.mark.parametrize("seed", range(16))
def test_random_commands_are_delivered_exactly_and_the_state_is_what_runs(seed):
    rng = random.Random(seed)
    pump = opened(seed)
    done = 0
    for _ in range(22):
        answer = act(pump, rng)
        done += " ok " in answer
        pump.check()
        pump.run(spread(0.05, 2_000, rng.random()) if rng.random() < 0.7 else 0.001)
        pump.check()
    pump.command("stop", signed=False)
    pump.check()
    pump.judge()
    assert done > 1


def fast(pump: Pump, rng: random.Random) -> str:
    """One command near the motor's limits."""
    choice = rng.randrange(6)
    if choice == 0:
        return pump.rate(rng.randrange(GENTLE, FASTEST // 2))
    if choice == 1:
        volume = rng.randrange(50_000, 800_000)
        return pump.bolus(volume, 2 + volume * 86_400 // (FASTEST // 2))
    if choice == 2:
        return pump.command("pause")
    if choice in (3, 4):
        return pump.command("resume")
    return pump.command("cancel_bolus")


@pytest.mark.parametrize("seed", [*range(8), 210])
def test_fast_orders_are_exact_and_the_motor_can_follow_them(seed):
    rng = random.Random(seed)
    pump = opened(seed, bolus_nl_per_day=FASTEST // 2)
    for _ in range(10):
        fast(pump, rng)
        pump.check()
        pump.run(rng.random() * 1.5 + 1.2)  # past the stairs: what a command prepares is meant for the speed of then
        pump.check()
    pump.command("stop", signed=False)
    pump.judge()
    truth = pump.core.plant.truth(pump.core.now_us)
    assert truth.missed_steps == 0, "the plant's motor has lost none"
    gaps = [later[0] - earlier[0] for earlier, later in pairwise(pump.steps)]
    assert min(gaps, default=500) >= 1_000_000 // 2_000 - 1


def speeds(pump: Pump) -> list[float]:
    return [1e6 / (later[0] - earlier[0]) for earlier, later in pairwise(pump.steps)]


@pytest.mark.requirement("CS-REQ-2/3")
def test_speed_never_jumps_by_more_than_the_motor_starts_at():
    pump = opened()
    pump.rate(30_000_000_000)  # 1500 steps/s
    pump.run(2)
    pump.command("pause")
    pump.run(0.3)
    pump.command("resume")  # while it still slows down
    pump.run(2)
    pump.bolus(100_000, 8)
    pump.run(1)
    pump.command("cancel_bolus")
    pump.run(1)
    pump.rate(10_000_000_000)
    pump.run(2)
    pump.command("pause")
    pump.run(2)
    seen = speeds(pump)
    for before, after in pairwise(seen):
        assert abs(after - before) <= 300 + 45, "start speed, and a stair"
    assert max(seen) <= 2_001
    assert pump.core.plant.truth(pump.core.now_us).missed_steps == 0


def test_a_cancelled_fast_bolus_slows_down_and_then_it_is_over():
    pump = opened()
    pump.rate(1_300_000)
    pump.bolus(800_000, 6)
    pump.run(2)
    assert "state=bolus" in pump.command("cancel_bolus")
    pump.run(1.5)
    assert pump.status()["state"] == "infusing"
    assert any("done" in event and "source=bolus" in event and "result=stopped" in event for event in pump.events)
    pump.command("stop", signed=False)
    pump.judge()


def test_what_a_reverse_move_left_of_play_is_taken_up_before_the_dose():
    """After a withdrawal the whole of the next dose leaves the barrel, and not less the play."""
    still = PlantParams()  # without friction and screw error, so that the barrel shows what the nut pushes
    still = replace(
        still,
        screw=replace(still.screw, error_um=0.0),
        syringe=replace(still.syringe, friction_static_n=0.0, friction_kinetic_n=0.0),
    )
    pump = opened(params=still)
    for reverse_nl in (100_000, 5_000):  # farther than the play, and not as far
        pump.handle("prime", 300_000)
        pump.run(60)
        pump.handle("withdraw", reverse_nl)
        pump.run(60)
        before = pump.core.plant.truth(pump.core.now_us)
        pump.bolus(50_000, 60)
        pump.run(600)
        after = pump.core.plant.truth(pump.core.now_us)
        assert after.pushed_nl - before.pushed_nl == pytest.approx(
            50_000, abs=3_000
        )  # the play is 18,500; half a full step is uncertain
    pump.judge()


def test_kvo_follows_an_infusion_at_the_lower_rate():
    pump = opened()
    pump.vtbi(24_000_000, 20_000, "kvo")
    pump.run(60)
    pump.check()
    pump.run(30)
    assert (pump.status()["state"], pump.status()["basal_nl_per_day"]) == ("kvo", "500000")
    pump.run(3_000)
    pump.command("stop", signed=False)
    pump.judge()
    pump.vtbi(300_000, 1_000, "kvo")
    pump.run(400)
    assert pump.status()["basal_nl_per_day"] == "300000"


def test_days_of_basal_and_boluses_do_not_drift():
    """Four days; fourteen are in test_delivery, and in `make bench` on the whole pump."""
    pump = opened()
    pump.rate(1_300_000)
    for _ in range(4):
        pump.run(40_000)
        pump.bolus(100_000, 0)
        pump.run(46_400)
    pump.command("stop", signed=False)
    pump.judge()
    assert len(pump.steps) == pytest.approx(4 * 1_400_000 / 231.147588, abs=20)


@pytest.mark.parametrize("slices", [(1_000, 100), (7, 13), (333_333, 3)])
def test_the_same_run_in_other_slices_gives_the_same_bytes_and_steps(slices):
    """Lines are sent at fixed times; between them `run_until` is called as often as it likes."""

    def life(step_us: int, fine_us: int):
        pump = opened(7)
        core = pump.core
        written = []
        core.listeners.append(type("Ear", (), {"on_bytes": lambda _, t, way, data: written.append((t, way, data))})())
        script = ["status", "totals", "telemetry period_ms=250", "!", "sensors"]
        pump.rate(200_000_000)
        pump.bolus(20_000, 9)
        begin = core.now_us + 1_000_000
        at = begin
        for i, line in enumerate(script):
            at = begin + i * 2_000_000
            while core.now_us < at:
                # the pass that is under way ends a little later: stop well before, then exactly
                left = at - core.now_us
                core.run_until(core.now_us + (step_us if left > step_us + 20_000 else min(left, fine_us)))
            core.send(line.encode() + b"\n")
        core.run_until(at + 3_000_000)
        return pump.steps, [data for _, way, data in written if way == "out"]

    whole = life(10_000_000, 1_000)
    assert life(*slices) == whole


def test_at_full_speed_no_cost_of_the_chip_starves_the_motor():
    """2000 steps/s, telemetry on, a host that talks all the time: page programs and bytes are charged."""
    pump = opened()
    pump.order("settings", "prime_nl_per_day=39900000000")
    pump.values["prime_nl_per_day"] = 39_900_000_000
    pump.command("telemetry period_ms=100", signed=False)
    pump.handle("prime", 8_000_000)
    talk = (b"status\n", b"totals\nsensors\n", b"garbage " * 20 + b"\n", b"log seq=1 count=2\n")
    for i in range(600):
        pump.core.send(talk[i % 4])
        pump.core.run_until(pump.core.now_us + 20_000)
        pump.core.output.clear()
    assert pump.core.app.machine.state == "priming"
    pump.run(1)
    assert "steps_late" not in " ".join(pump.events)
    pump.run(12)
    assert pump.status()["state"] == "stopped"
    pump.judge()
    assert max(speeds(pump)) == pytest.approx(2_000, rel=0.01)
