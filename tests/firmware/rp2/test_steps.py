"""The step generator: exact periods, exact accounts at every instant, and an odometer that believes nobody."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.firmware.rp2 import pio
from tests.firmware.rp2.chip import Chip
from tests.firmware.rp2.rig import DIR, STEP, step_rig

DELAY_MAX = (1 << 29) - 1


def programs():
    with Chip().attach() as load:
        steps = load("steps")
    return steps.stepper, steps.odometer, steps.guard


def test_the_programs_are_these_words():
    stepper, odometer, guard = programs()
    # As the assembler of MicroPython encodes them: PULL, IRQ rel 0, MOV X OSR, JMP X-- 3, SET PINS 1 [3], SET PINS 0.
    assert stepper.words == [0x80A0, 0xC010, 0xA027, 0x0043, 0xE301, 0xE000]
    # WAIT 0 PIN 0, WAIT 1 PIN 0, JMP PIN 5, JMP Y-- 0, JMP 0, JMP X-- 0.
    assert odometer.words == [0x2020, 0x20A0, 0x00C5, 0x0080, 0x0000, 0x0040]
    # WAIT 0 PIN 0, WAIT 1 PIN 0, JMP Y-- 0, SET PINDIRS 0, IRQ rel 0.
    assert guard.words == [0x2020, 0x20A0, 0x0080, 0xE080, 0xC010]
    assert stepper.joined_tx
    assert len(stepper.words) + len(odometer.words) + len(guard.words) <= 32


def test_what_the_odometer_is_told_are_these_instructions():
    with Chip().attach() as load:
        steps = load("steps")
    texts = ("mov(x, invert(null))", "mov(y, invert(null))", "in_(x, 29)", "in_(y, 29)", "push(noblock)")
    texts += ("pull(block)", "mov(y, osr)", "set(y, 31)")
    words = (steps.FILL_X, steps.FILL_Y, steps.TAKE_X, steps.TAKE_Y, steps.PUSH, steps.PULL, steps.TO_Y, steps.WIDE)
    assert words == tuple(pio.encode(text) for text in texts)


@given(st.lists(st.integers(250, 3000), min_size=1, max_size=20), st.integers(250, 100_000), st.booleans())
@settings(max_examples=40, deadline=None)
def test_every_period_is_exact_and_every_pulse_4_us(delays, first, forward):
    with step_rig() as rig:
        rig.begin(1 if forward else -1, first)
        assert all(rig.put(delay) for delay in delays)
        rig.chip.run_us(first + sum(delays) + 100)
        assert rig.periods_us() == delays
        assert rig.widths_us == [4] * len(rig.edges)
        assert 0 <= rig.edges_us[0] - first <= 1
        assert {level for _, level in rig.edges} == {int(forward)}


@pytest.mark.parametrize("delay", [DELAY_MAX, 7_700_000])
def test_a_slow_step_is_as_exact(delay):
    with step_rig(depth=1) as rig:
        rig.begin(1, 1000)
        rig.put(delay)
        rig.chip.run_us(1000 + delay + 100)
        assert rig.periods_us() == [delay]


def test_counting_down_one_by_one_gives_the_same():
    edges = []
    for fast in (True, False):
        with step_rig(fast=fast) as rig:
            rig.begin(1, 300)
            for delay in (250, 251, 1000):
                rig.put(delay)
            rig.chip.run_us(3000)
            edges.append(rig.edges)
    assert edges[0] == edges[1]


def test_the_ring_feeds_2000_steps_a_second_while_the_program_is_away():
    with step_rig(cost_us=2) as rig:
        rig.begin(1, 500)
        total = 1
        while total < 1000:
            while total < 1000 and rig.put(500):
                total += 1
            rig.chip.run_us(25_000)  # a collection takes 20 ms
        rig.chip.run_us(50_000)
        assert rig.periods_us() == [500] * 999
        assert rig.chip.hard_pio_irq


@pytest.mark.parametrize("depth", range(1, 9))
def test_with_interrupts_dead_the_fifo_and_the_word_in_hand_are_all_that_moves(depth):
    with step_rig(depth=depth) as rig:
        rig.begin(1, 500)
        for _ in range(40):
            rig.put(500)
        rig.chip.run_us(5_100)
        before = len(rig.edges)
        assert before == 10
        rig.chip.dead_interrupts = True
        rig.chip.run_us(1_000_000)
        assert len(rig.edges) - before == depth + 1
        assert not rig.steps.starved()  # the ring still holds words
        assert rig.steps.queued() == rig.waiting


def test_the_fifo_is_never_deeper_than_configured():
    with step_rig(depth=3) as rig:
        deepest = 0
        rig.begin(1, 500)
        for _ in range(30):
            rig.put(500)
            deepest = max(deepest, len(rig.chip.block.machines[0].tx))
        for _ in range(50):
            rig.chip.run_us(100)
            deepest = max(deepest, len(rig.chip.block.machines[0].tx))
        assert deepest == 3
        rig.steps.configure(8)
        rig.put(500)
        assert len(rig.chip.block.machines[0].tx) == 8


def test_a_full_ring_refuses_and_forgets_nothing():
    with step_rig(depth=2) as rig:
        rig.begin(1, 1000)
        rig.chip.run_us(10)
        delays = []
        for delay in range(300, 400):
            if not rig.put(delay):
                break
            delays.append(delay)
        # 64 in the ring; the FIFO holds 2, and the first word went straight to the machine.
        assert len(delays) == 64 + 2
        rig.chip.run_us(100_000)
        assert rig.periods_us() == delays
        assert rig.steps.starved()


def instants(**options):
    """Ticks after the last `put` of `moving` around the first two edges, 0.8 us apart: from the end of
    a countdown through pulse, pull and the interrupt that refills the FIFO 20 us later."""
    with step_rig(**options) as rig:
        start = moving(rig)
        rig.chip.run_us(1000)
        return [tick - start + delta for tick, _ in rig.edges[:2] for delta in range(-25 * 16, 25 * 32, 20)]


def moving(rig):
    """Start a train of 13 pulses; returns the tick."""
    rig.begin(1, 400)
    for _ in range(12):
        rig.put(300)
    return rig.chip.block.now


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("pc_lags", [False, True])
@pytest.mark.parametrize("cost_us", [1, 3])
def test_halt_accounts_for_every_word_at_every_instant(pc_lags, cost_us, frozen):
    """Also when an interrupt froze the machine some time before."""
    for instant in instants(pc_lags=pc_lags, cost_us=cost_us):
        with step_rig(pc_lags=pc_lags, cost_us=cost_us) as rig:
            moving(rig)
            rig.chip.run(instant)
            if frozen:
                rig.steps.freeze()
                made = len(rig.edges)
                rig.chip.run_us(2_000)
                assert len(rig.edges) == made and rig.steps.queued() in (rig.waiting, rig.waiting - 1)
            words = rig.words
            left = rig.halt()
            assert left == words - len(rig.edges), instant
            assert rig.steps.odometer() == len(rig.edges), instant
            assert rig.chip.block.level(STEP) == 0
            assert rig.steps.queued() == 0 and rig.steps.starved()
            made = len(rig.edges)
            rig.chip.run_us(10_000)
            assert len(rig.edges) == made
            assert all(width >= 4 for width in rig.widths_us)


@pytest.mark.parametrize("pc_lags", [False, True])
@pytest.mark.parametrize("cost_us", [1, 3])
def test_queued_is_right_at_every_instant(pc_lags, cost_us):
    for instant in instants(pc_lags=pc_lags, cost_us=cost_us, depth=3):
        with step_rig(pc_lags=pc_lags, cost_us=cost_us, depth=3) as rig:
            moving(rig)
            rig.chip.run(instant)
            most = rig.waiting
            queued = rig.steps.queued()
            assert rig.waiting <= queued <= most, instant


def test_halt_right_after_begin():
    for instant in range(0, 25 * 8, 3):
        with step_rig(cost_us=1) as rig:
            rig.begin(1, 250)
            rig.chip.run(instant)
            assert rig.halt() == 1


def test_halt_at_rest_and_twice_gives_nothing():
    with step_rig() as rig:
        assert rig.halt() == 0
        rig.begin(1, 300)
        assert (rig.halt(), rig.halt()) == (1, 0)


def test_after_a_freeze_at_rest_it_moves_as_ever():
    with step_rig() as rig:
        rig.steps.freeze()
        rig.begin(1, 300)
        rig.chip.run_us(400)
        assert len(rig.edges) == 1


def test_after_halt_it_moves_on_as_new():
    with step_rig() as rig:
        rig.begin(1, 300)
        for _ in range(20):
            rig.put(300)
        rig.chip.run_us(1000)
        rig.halt()
        made = len(rig.edges)
        rig.begin(-1, 400)
        rig.put(777)
        rig.chip.run_us(2000)
        assert rig.periods_us()[made:] == [777]
        assert rig.edges[-1][1] == 0
        assert rig.steps.odometer() == made - 2


@given(
    st.lists(st.integers(250, 400), min_size=1, max_size=12),
    st.lists(st.integers(1, 200), min_size=5, max_size=30),
    st.integers(1, 7),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_queued_is_right_at_some_moment_of_the_call(delays, pauses, cost_us, pc_lags):
    with step_rig(cost_us=cost_us, pc_lags=pc_lags, depth=3) as rig:
        rig.begin(1, 250)
        for delay in delays:
            rig.put(delay)
        for pause in pauses:
            rig.chip.run_us(pause)
            most = rig.waiting
            queued = rig.steps.queued()
            assert rig.waiting <= queued <= most


def test_dir_never_changes_under_a_queued_word():
    with step_rig() as rig:
        rig.begin(1, 300)
        with pytest.raises(RuntimeError):
            rig.begin(-1, 300)
        assert rig.chip.block.level(DIR) == 1


@pytest.mark.parametrize("delay", [249, DELAY_MAX + 1, -1, 0])
def test_a_delay_out_of_range_is_refused(delay):
    with step_rig() as rig:
        if delay != 249:  # the first delay may be shorter: no pulse is near before it
            with pytest.raises(ValueError):
                rig.steps.begin(1, delay)
        rig.begin(1, 300)
        with pytest.raises(ValueError):
            rig.steps.put(delay)
        assert rig.halt() == 1


@pytest.mark.parametrize("depth", [0, 9])
def test_a_depth_out_of_range_is_refused(depth):
    with step_rig() as rig, pytest.raises(ValueError):
        rig.steps.configure(depth)


def test_begin_takes_its_own_time_off_the_first_delay():
    with step_rig(cost_us=10) as rig:
        start = rig.chip.now_us
        rig.begin(1, 1000)
        rig.chip.run_us(2000)
        assert abs(rig.edges_us[0] - start - 1000) <= 12  # the call's first reading of the clock is not free either


def test_begin_later_than_its_delay_steps_at_once():
    with step_rig(cost_us=60) as rig:
        rig.begin(1, 250)
        rig.chip.run_us(1000)
        assert len(rig.edges) == 1


@given(st.lists(st.sampled_from([1, -1]), min_size=1, max_size=30))
@settings(max_examples=20, deadline=None)
def test_the_odometer_counts_with_sign(moves):
    with step_rig() as rig:
        for direction in moves:
            rig.begin(direction, 250)
            rig.chip.run_us(300)
        assert rig.steps.odometer() == sum(moves) % (1 << 29)


def test_the_odometer_counts_edges_that_nobody_ordered():
    with step_rig() as rig:
        rig.chip.run_us(1)
        for _ in range(3):
            for level in (1, 0):
                rig.chip.block.set_level(STEP, level)
                rig.chip.run(5)  # 0.2 us
        assert rig.steps.odometer() == (-3) % (1 << 29)  # DIR is low
        assert rig.steps.queued() == 0


def test_the_odometer_wraps_at_29_bits_and_survives_a_counter_at_zero():
    with step_rig() as rig:
        machine = rig.chip.block.machines[1]
        machine.x = machine.y = 0xE0000000  # 2**29 - 1 edges each way: one more is 2**29
        for direction in (1, 1, 1, -1):
            rig.begin(direction, 250)
            rig.chip.run_us(300)
        assert rig.steps.odometer() == 2
        machine.y = 0  # the jump is not taken at zero, yet the edge must be counted once, and as backward
        before = rig.steps.odometer()
        for _ in range(2):
            rig.begin(-1, 250)
            rig.chip.run_us(300)
        assert rig.steps.odometer() == (before - 2) % (1 << 29)


def test_reading_the_odometer_disturbs_neither_machine():
    with step_rig(cost_us=1) as rig:
        rig.begin(1, 300)
        readings = []
        for _ in range(20):
            rig.put(300)
        for _ in range(100):
            before = len(rig.edges)
            reading = rig.steps.odometer()
            assert before <= reading <= len(rig.edges)
            readings.append(reading)
            rig.chip.run_us(60)
        assert rig.periods_us() == [300] * (len(rig.edges) - 1)
        assert readings == sorted(readings) and readings[-1] == 21


def test_an_odometer_that_does_not_answer_is_a_fault_not_a_hang():
    with step_rig() as rig:
        rig.chip.block.machines[1].push = lambda: True
        with pytest.raises(OSError):
            rig.steps.odometer()


@given(st.lists(st.integers(250, 3000), min_size=1, max_size=16), st.integers(0, 60))
@settings(max_examples=30, deadline=None)
def test_a_row_is_queued_as_its_words_or_not_at_all(row, before):
    with step_rig() as rig:
        rig.begin(1, 100_000)
        assert all(rig.put(1_000) for _ in range(before))
        room = 64 + 8 + 1 - rig.steps.queued()
        taken = rig.steps.put_all([*row, 1, 1], len(row))
        assert taken == (len(row) <= room)
        assert rig.steps.queued() == 1 + before + (len(row) if taken else 0)
        rig.words += len(row) if taken else 0
        rig.chip.run_us(100_000 + 1_000 * before + sum(row) + 100)
        assert rig.periods_us() == [1_000] * before + (row if taken else [])


def test_a_row_with_an_impossible_word_is_refused():
    with step_rig() as rig:
        rig.begin(1, 1_000)
        for word in (249, DELAY_MAX + 1):
            with pytest.raises(ValueError):
                rig.steps.put_all([500, word], 2)
        assert rig.steps.queued() == 1


def rogue(rig, count: int, from_us: int = 1_000) -> None:
    """Somebody else makes edges at the pad: the machine's program, or noise."""
    rig.chip.run_us(from_us)
    for _ in range(count):
        if STEP in rig.chip.block.released:
            return
        rig.chip.block.set_level(STEP, 1)
        rig.chip.run_us(4)
        rig.chip.block.set_level(STEP, 0)
        rig.chip.run_us(996)


@pytest.mark.parametrize("words", [0, 1, 5, 40])
def test_the_edge_behind_those_that_are_queued_ends_it(words):
    with step_rig(depth=1) as rig:
        trips = []
        rig.steps.on_edges(lambda _: (trips.append(rig.chip.now_us), rig.steps.freeze()))
        if words:
            rig.begin(1, 10_000_000)
            for _ in range(words - 1):
                rig.put(10_000_000)
        rig.steps.guard(rig.steps.queued())
        rogue(rig, 100)
        assert len(rig.edges) == words + 2 and len(trips) == 1
        assert rig.chip.block.levels.get(STEP) == 0
        before = len(rig.edges)
        rig.chip.run_us(60_000_000)
        assert len(rig.edges) == before, "no pulse of its own either"
        assert rig.steps.halt() == words
        rig.edges.clear()
        rig.steps.guard(-1)
        rig.steps.begin(1, 300)
        rig.chip.run_us(1_000)
        assert len(rig.edges) == 1, "lifted by the halt"


@given(st.lists(st.integers(250, 3000), min_size=1, max_size=60))
@settings(max_examples=25, deadline=None)
def test_the_guard_lets_all_that_is_queued_pass(delays):
    with step_rig(cost_us=3) as rig:
        trips = []
        rig.steps.on_edges(trips.append)
        rig.begin(1, 5_000)
        for at, delay in enumerate(delays):
            rig.steps.guard(-1)
            while not rig.put(delay):
                rig.chip.run_us(100)
            if at % 3 == 0:
                rig.steps.guard(rig.steps.queued())
        rig.steps.guard(rig.steps.queued())
        rig.chip.run_us(5_000 + sum(delays) + 5_000)
        assert len(rig.edges) == len(delays) + 1 and not trips


def test_while_words_are_being_queued_31_edges_pass():
    with step_rig() as rig:
        trips = []
        rig.steps.on_edges(trips.append)
        rig.steps.guard(-1)
        rogue(rig, 31)
        assert not trips
        rogue(rig, 1)
        assert len(trips) == 1
