"""The output ring against a plain list of bytes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from haipump_fw.proto.output import OUTPUT_MAX, Output


def test_empty():
    ring = Output()
    assert (ring.peek(), ring.free()) == (-1, OUTPUT_MAX)
    ring.pop()
    assert (ring.peek(), ring.free()) == (-1, OUTPUT_MAX)


def test_exactly_full_and_one_more():
    ring = Output()
    assert ring.put(b"x" * OUTPUT_MAX)
    assert ring.free() == 0
    assert not ring.put(b"y")
    ring.pop()
    assert ring.put(b"y")
    assert ring.free() == 0


@given(st.lists(st.one_of(st.integers(0, 700), st.binary(max_size=900)), max_size=60))
def test_first_in_first_out_and_whole_or_not_at_all(steps: list):
    ring, model = Output(), bytearray()
    for step in steps:
        if isinstance(step, bytes):
            fits = len(model) + len(step) <= OUTPUT_MAX
            assert ring.put(step) == fits
            if fits:
                model += step
        else:
            for _ in range(step):
                assert ring.peek() == (model[0] if model else -1)
                ring.pop()
                del model[:1]
        assert ring.free() == OUTPUT_MAX - len(model)


def test_around_the_end_of_the_ring():
    ring = Output()
    for at in range(400):
        data = bytes([at % 256]) * 60 + b"!" * (at % 7)
        assert ring.put(data)
        got = bytearray()
        while ring.peek() >= 0:
            got.append(ring.peek())
            ring.pop()
        assert got == data
