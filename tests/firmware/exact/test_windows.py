"""20,000 plans, from rates to repeated programmes, each with a past: the proof of the dose limit finds the fullest of
all windows to the quantum. The oracle, in exact fractions, is `tests.firmware.core.test_limits`, which looks at the
first thousand; coverage does not wait for these.
"""

from __future__ import annotations

import pytest

from tests.firmware.core.test_limits import check

FIRST, LAST = 1_000, 20_000
CHUNK = 1_000


@pytest.mark.requirement("REQ-X-06", "OP-R5.2(5)/R5.3(7)")
@pytest.mark.parametrize("begin", range(FIRST, LAST, CHUNK))
def test_every_window_of_twenty_thousand_plans(begin):
    for seed in range(begin, begin + CHUNK):
        check(seed)
