"""The output ring against a plain list of bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haipump_fw.proto.output import OUTPUT_MAX, Output


def nobody(buf, first: int, last: int) -> int:
    raise AssertionError("there is nothing to write")


def test_empty():
    ring = Output()
    assert (ring.peek(), ring.free()) == (-1, OUTPUT_MAX)
    assert ring.offer(nobody, 1)
    assert (ring.peek(), ring.free()) == (-1, OUTPUT_MAX)


@pytest.mark.requirement("R8")
def test_exactly_full_and_one_more():
    ring = Output()
    assert ring.put(b"x" * OUTPUT_MAX)
    assert ring.free() == 0
    assert not ring.put(b"y")
    assert not ring.offer(lambda buf, first, last: 1, 2)
    assert ring.put(b"y")
    assert ring.free() == 0


@given(st.lists(st.one_of(st.tuples(st.integers(0, 700), st.integers(0, 700)), st.binary(max_size=900)), max_size=60))
def test_first_in_first_out_and_whole_or_not_at_all(steps: list):
    """A tuple is (bytes offered at most, bytes for which there is room)."""
    ring, model = Output(), bytearray()
    for step in steps:
        if isinstance(step, bytes):
            fits = len(model) + len(step) <= OUTPUT_MAX
            assert ring.put(step) == fits
            if fits:
                model += step
        else:
            limit, room = step
            shown: list[bytes] = []

            def write(buf, first: int, last: int, room=room, shown=shown) -> int:
                shown.append(bytes(buf[first:last]))
                return min(room, last - first)

            assert ring.peek() == (model[0] if model else -1)
            whole = ring.offer(write, limit)
            assert len(shown) == (1 if model and limit else 0)
            for data in shown:
                assert 0 < len(data) <= limit and model.startswith(data)
                assert whole == (room >= len(data))
                del model[: min(room, len(data))]
        assert ring.free() == OUTPUT_MAX - len(model)


def test_around_the_end_of_the_ring():
    ring = Output()
    for at in range(400):
        data = bytes([at % 256]) * 60 + b"!" * (at % 7)
        assert ring.put(data)
        got = bytearray()

        def write(buf, first: int, last: int, got=got) -> int:
            got.extend(buf[first:last])
            return last - first

        while ring.peek() >= 0:
            assert ring.offer(write, 50)
        assert got == data
