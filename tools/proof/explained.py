"""Survivors of the mutation tool that make no difference, and why.

Owns: EXPLAINED, by the name of the change. Must not: excuse a test that is missing.
"""

_GUESS = "a first guess only: the loop behind it shares the steps that are left, to the same end"
_ROOM = "one byte of room more or less, and the line fits either way; the next pass finds out"
_EQUAL = "where both are equal nothing is added either way"

EXPLAINED: dict[str, str] = {
    "core/dosing.py: Order._set_end: p.total_us >= 0  ->  p.total_us > 0": "no order has a profile of no length",
    "core/dosing.py: Planner.__init__: 0 in `self.anchors = 0  # worked out so far: each takes some memory`  ->  1": (
        "an estimate of memory: one collection may come one anchor earlier"
    ),
    "core/dosing.py: Planner._anchor: end < 0 or end - self._last_us > WORD_MAX_US  ->  "
    "end < 0 and end - self._last_us > WORD_MAX_US": "only slower: the gap is skipped first, and found too long then",
    "core/dosing.py: Planner._owed: stop >= 0  ->  stop > 0": "no piece ends at the moment at which its order begins",
    "core/dosing.py: Planner._share: (sum(owed) - steps * step_q) // count  ->  "
    "(sum(owed) - steps * step_q) * count": _GUESS,
    "core/dosing.py: Planner._share: steps * step_q  ->  steps // step_q": _GUESS,
    "core/dosing.py: Planner._share: sum(owed) - steps * step_q  ->  sum(owed) + steps * step_q": _GUESS,
    "core/dosing.py: Planner.next_us: 0 in `if end < 0 or t_us + wait <= end:`  ->  1": "no order ends at uptime 0",
    "core/profiles.py: Pieces.__init__: 0 in `self._last = 0`  ->  1": "where to look first: it looks elsewhere then",
    "core/profiles.py: _approach: speed > target  ->  speed >= target": _EQUAL,
    "core/profiles.py: square: limits.speed(volume_q, duration_us) <= limits.start  ->  "
    "limits.speed(volume_q, duration_us) < limits.start": _EQUAL,
    "core/profiles.py: square: top <= speed  ->  top < speed": "one more stair, which has the speed of the middle",
    "core/profiles.py: volume_at_rate: target > limits.start  ->  target >= limits.start": _EQUAL,
    "core/supervision.py: Supervision.pace: ahead < 0  ->  ahead <= 0": "nothing is set to nothing",
    "proto/frame.py: _spec: 0 in `return name, _CHOICE, 0, 0, choices`  ->  1": "a choice has no range",
    "proto/programme.py: _Last.__init__: 1 in `self.rate_s = -1`  ->  2": "any second before the first one will do",
    "proto/session.py: Session._tell_dropped: self._output.free() < _ANSWER_ROOM + _SPARE_ROOM  ->  "
    "self._output.free() <= _ANSWER_ROOM + _SPARE_ROOM": _ROOM,
    "proto/session.py: Session.waiting: free >= len(self._stop_answer)  ->  free > len(self._stop_answer)": _ROOM,
    "store/journal.py: Journal.__init__: 0 in `self._head = 0`  ->  1": "the queue is a ring: it may begin anywhere",
    "store/journal.py: Journal._newest: self._base[index] > self._base[newest]  ->  "
    "self._base[index] >= self._base[newest]": "equal numbers are what the loop below looks at",
    "store/journal.py: Journal.read: 1 in `index = -1`  ->  2": "any number below zero says that none was found",
    "store/journal.py: Journal.append: place < 0  ->  place <= 0": "place 0 is never an intent's",
    "store/settings.py: Settings._count_pages: 1 in `self._page_count = (end + _CRC_BYTES + PAGE - 1) // PAGE`  ->  "
    "2": "differs only for an image that ends just behind a page; ours does not",
}


def reason(name: str) -> str | None:
    """Why the change of this name makes no difference; None: nobody knows."""
    return EXPLAINED.get(name)
