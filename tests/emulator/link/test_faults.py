"""Byte faults: each does what it says, to the byte it says, the same for the same seed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haipump_emulator.link.faults import (
    Delay,
    Drop,
    Duplicate,
    FaultFilter,
    Flip,
    Insert,
    Split,
    apply,
    single_faults,
)

DATA = b"0123456789"


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Flip(2, 0), b"0133456789"),
        (Flip(0, 7), b"\xb0123456789"),
        (Drop(9), b"012345678"),
        (Drop(3, 4), b"012789"),
        (Duplicate(5), b"01234556789"),
        (Insert(0, b"ab"), b"ab0123456789"),
        (Split(4), DATA),
        (Delay(4, 1_000), DATA),
        (Flip(10, 0), DATA),
    ],
)
def test_one_fault(fault, expected):
    assert apply([fault], DATA) == expected


def test_faults_at_one_byte_add_up():
    assert apply([Flip(1, 0), Duplicate(1), Insert(1, b"-")], DATA) == b"0-0023456789"


def test_bytes_are_counted_over_all_pieces():
    line = FaultFilter([Drop(5), Flip(8, 0)])
    for number, byte in enumerate(DATA):
        line.feed(bytes([byte]), number)
    out = b"".join(line.take(100) for _ in range(20))
    assert out == b"012346799"
    assert [fault.at for fault in line.applied] == [5, 8]


def test_a_split_makes_two_chunks():
    line = FaultFilter([Split(4)])
    line.feed(DATA, 0)
    assert [line.take(0), line.take(0), line.take(0)] == [b"0123", b"456789", b""]


def test_a_delay_holds_all_that_follows_in_order():
    line = FaultFilter([Delay(4, 1_000)])
    line.feed(b"01234", 50)
    line.feed(b"56", 60)
    assert line.take(60) == b"0123"
    assert (line.take(1_049), line.pending, line.next_us()) == (b"", 3, 1_050)
    assert line.take(1_050) == b"456"
    line.feed(b"789", 2_000)
    assert line.take(2_000) == b"789"
    assert (line.pending, line.next_us()) == (0, None)


def test_equal_seeds_equal_noise():
    def noisy(seed):
        line = FaultFilter(seed=seed, per_million=50_000)
        line.feed(DATA * 100, 0)
        out = bytearray()
        while (due := line.next_us()) is not None:
            out += line.take(due)
        return bytes(out), line.applied

    assert noisy(7) == noisy(7)
    assert noisy(7) != noisy(8)
    kinds = {type(fault) for fault in noisy(7)[1]}
    assert len(kinds) >= 4


@given(st.binary(max_size=200), st.lists(st.integers(0, 200)))
def test_without_faults_nothing_changes(data, cuts):
    line = FaultFilter()
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    for start, end in zip(edges, edges[1:], strict=False):
        line.feed(data[start:end], 0)
    assert line.pending == len(data)
    assert line.take(0) == data


def test_every_single_fault_of_a_frame_changes_it():
    # A duplicate of two equal neighbours would be the same for both; the frame has none.
    outcomes = [apply([fault], DATA) for fault in single_faults(len(DATA))]
    assert len(outcomes) == len(set(outcomes)) == len(DATA) * 13
    assert DATA not in outcomes
