"""A line to the real firmware on the direct core that lets long quiet times pass in long slices.

Owns: bytes and time, like `tests.host.direct_line`; answers are read up to a slice late, which no report cares about.
"""

from __future__ import annotations

from tests.host.direct_line import DirectLine

SLICE_FIRST_US, SLICE_LONGEST_US = 1_000, 60_000_000


class QuickLine(DirectLine):
    def read(self, timeout_s: float) -> bytes:
        slice_us = SLICE_FIRST_US
        end_us = self.core.now_us + (max(1, round(timeout_s * 1e6)) if timeout_s > 0 else 0)
        while not self.core.output and self.core.now_us < end_us:
            self.core.run_until(min(end_us, self.core.now_us + slice_us))
            slice_us = min(2 * slice_us, SLICE_LONGEST_US)
        data = bytes(self.core.output)
        del self.core.output[: len(data)]
        return data
