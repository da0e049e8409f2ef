"""The windows of IEC 60601-1-8 for what an alarm looks and sounds like, as secondary sources give them, and the judge
of what was seen at lamps and piezo: once, for every core.

Owns: the windows. Must not: know the pump's own tables; both could be wrong together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

# (pulses in a burst, length of a pulse in ms, spacing in ms, from the end of a burst to the next one in ms)
BURSTS = {
    "high": (10, (75, 200), (50, 125), (2_500, 15_000)),
    "medium": (3, (125, 250), (125, 250), (2_500, 30_000)),
    "low": (2, (125, 250), (125, 250), (15_000, 3_600_000)),
}
HALVES_MS = (350, 1_300)  # between the fifth and the sixth pulse of high
EVEN = 0.05  # pulses of a burst differ by so much at most, and so do its spacings
FLASHES = {"high": ("red", 1.4, 2.8), "medium": ("yellow", 0.4, 0.8)}  # lamp, frequency in Hz
DUTY = (0.2, 0.6)
BURST_GAP_MS = 2_000  # what is longer is no spacing

Seen = Iterable[tuple[int, str, dict[str, Any]]]


def spans(seen: Seen, name: str, field: str) -> list[tuple[float, float]]:
    """(begin, end) in ms of each time that a lamp or the tone was on, those that began and ended in `seen`."""
    found, began = [], None
    for t_us, event, fields in seen:
        if event == name and bool(fields[field]) != (began is not None):
            if began is None:
                began = t_us / 1000
            else:
                found.append((began, t_us / 1000))
                began = None
    return found


def bursts(pulses: Sequence[tuple[float, float]]) -> list[list[tuple[float, float]]]:
    """Pulses by burst."""
    found = [[pulses[0]]]
    for before, pulse in zip(pulses, pulses[1:], strict=False):
        if pulse[0] - before[1] > BURST_GAP_MS:
            found.append([])
        found[-1].append(pulse)
    return found


def within(values: Iterable[float], window: tuple[float, float]) -> None:
    for value in values:
        assert window[0] <= value <= window[1], (value, window)


def even(values: Sequence[float]) -> None:
    assert max(values) - min(values) <= EVEN * 2 * max(values), values


def judge_sound(seen: Seen, priority: str) -> int:
    """The bursts of a priority are in the windows. Returns how many there were; the last one may be cut off, and does
    not count then."""
    count, lengths_ms, spacing_ms, repeat_ms = BURSTS[priority]
    heard = bursts(spans(seen, "tone", "frequency_hz"))
    if len(heard[-1]) < count:
        cut = heard.pop()
        within([cut[0][0] - heard[-1][-1][1]] if heard else [], repeat_ms)
    for burst in heard:
        assert len(burst) == count, burst
        lengths = [end - begin for begin, end in burst]
        gaps = [b[0] - a[1] for a, b in zip(burst, burst[1:], strict=False)]
        within(lengths, lengths_ms)
        even(lengths)
        if priority == "high":
            assert gaps[:4] == _near(gaps[5:]), "the second half is as the first"
            for half in (gaps[:4], gaps[5:]):
                spaces = [half[0], half[1], half[3]]
                within(spaces, spacing_ms)
                even(spaces)
                whole = 2 * spaces[0] + lengths[0]
                within([half[2]], (whole * (1 - EVEN), whole * (1 + EVEN)))
            within([gaps[4]], HALVES_MS)
        else:
            within(gaps, spacing_ms)
            even(gaps)
    within([b[0][0] - a[-1][1] for a, b in zip(heard, heard[1:], strict=False)], repeat_ms)
    return len(heard)


class _near(list):
    def __eq__(self, other: object) -> bool:
        assert isinstance(other, list)
        return len(self) == len(other) and all(abs(a - b) <= EVEN * max(a, b) for a, b in zip(self, other, strict=True))


def judge_lamps(seen: Seen, priority: str) -> int:
    """The lamp of a priority flashes within its windows, and no other one does. Returns how often it flashed."""
    if priority == "low":
        assert not [fields for _, name, fields in seen if name == "led"], "steady"
        return 0
    lamp, low_hz, high_hz = FLASHES[priority]
    lit = spans(seen, "led", lamp)
    for (begin, end), (again, _) in zip(lit, lit[1:], strict=False):
        within([1_000 / (again - begin)], (low_hz, high_hz))
        within([(end - begin) / (again - begin)], DUTY)
    others = {"red", "yellow"} - {lamp}
    assert not any(fields[other] for _, name, fields in seen if name == "led" for other in others)
    return len(lit)
