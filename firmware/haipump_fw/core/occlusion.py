"""Occlusion: a line that is closed takes the pushed volume up as pressure, and goes on with it as long as it is pushed.

Owns: the slope detector, its memory, and what is known of the line's compliance. Must not: read a sensor or act.

A window of pressures over pushed volume is kept. It begins anew whenever the pressure falls by FALL_PA, for a closed
line never falls: so the pulse of an artery keeps it short, and what goes down again is forgotten. An occlusion is seen
when the pressure rose in each of three equal parts of the window by RISE_PA, more than the line's end can be lifted at
once, and when rise and volume together are a compliance that syringe and line can have, or, once one was learned, half
to twice that. A part takes PART_S at least, so that a change within a minute touches two of them at most. Heights,
arteries, bubbles and drifts rise once, or come back; a closed line rises on.

Units: raw counts of the sensor (16 bit), steps as `Delivery.net_steps` has them, seconds of uptime. Nothing in `feed`
allocates: the largest product is below 2**30.
"""

from array import array

from haipump_fw.const import const
from haipump_fw.core.units import FL_PER_NL

FALL_PA = const(1_000)
RISE_PA = const(4_200)
PART_S = const(72)
BLOCK_NL = const(1_000)  # ... and holds so much at least
BLOCKS = const(128)
_SPAN_MAX = const(1 << 19)  # steps in a window: more of them are fast motion, which soon reaches the limit
_SHIFT = const(10)
_SCALE_MAX = const((1 << 14) - 1)
# Compliance of a syringe: area^2 over the stiffness from pusher to stopper. The line adds to it.
STIFF_N_PER_MM = const(100)
SOFT_N_PER_MM = const(10)
LINE_NL_PER_KPA = const(5_000)
# Under-pressure while a syringe is filled. A sensor that can't show it sees none.
SUCTION_PA = const(4_000)
SUCTION_SAMPLES = const(3)
_RAW_MIN = const(100)
LEARN_PA = const(8_000)  # a rise that says something about the compliance


class Occlusion:
    """`feed` it while the motor delivers; `foot` says where a rise began."""

    def __init__(self, values):
        self._levels = array("H", bytes(2 * BLOCKS))
        self._places = array("i", bytes(4 * BLOCKS))  # net steps
        self.relief_raw = self.deduct = 0  # where a back-off ends; what `relief` keeps until then
        self.resume_at, self.resumed = None, []  # what `relief` resumes, and when; when it did, in s
        self._bore_um = 0
        self._sucked = 0
        self._bottom = self._top = self._kept = self._kept_s = 0
        self.learned = 0  # nL/kPa of syringe and line, 0: not known
        self.configure(values)
        self.clear()

    def configure(self, values):
        """Take over syringe and sensor. Another syringe: what was learned is forgotten."""
        span, full = values["pressure_span_raw"], values["pressure_full_pa"]
        self._fall = max(1, FALL_PA * span // full)
        self._rise = max(1, RISE_PA * span // full)
        self._count_fl = full * FL_PER_NL // span  # volume of a count at 1 nL/Pa
        low = values["pressure_zero_raw"] - SUCTION_PA * span // full
        self._suction = low if low >= _RAW_MIN else 0
        self._step_fl = values["step_fl"]
        self._block_steps = max(1, BLOCK_NL * FL_PER_NL // self._step_fl)
        if self._bore_um != values["bore_um"]:
            self._bore_um = values["bore_um"]
            self.learned = 0
        self._bound()

    def _bound(self):
        """Which compliances are possible, as steps per count, times 2**_SHIFT."""
        area = self._bore_um * self._bore_um // 1_000 * 355 // 452_000  # mm2
        low, high = area * area // STIFF_N_PER_MM, area * area // SOFT_N_PER_MM + LINE_NL_PER_KPA
        if self.learned:
            low, high = self.learned // 2, 2 * self.learned
        self._low = min(_SCALE_MAX, self._scaled(low))
        self._high = min(_SCALE_MAX, self._scaled(high) + 1)

    def _scaled(self, nl_per_kpa):
        return (nl_per_kpa * self._count_fl << _SHIFT) // (1_000 * self._step_fl)

    def forget(self):
        """Another syringe or line."""
        self.learned = 0
        self._bound()
        self.clear()

    def clear(self):
        """The window begins anew with the next reading."""
        self._count = self._next = 0
        self._last = -1
        self._worth = 0  # the level that a look at the window is worth

    def feed(self, raw, steps, now_s):
        """A reading while `steps` were made, at `now_s`. True when the line is closed."""
        last = self._last
        self._last = raw
        if last < 0:
            return False
        level = raw if raw < last else last  # one spike up is no rise, one down no fall
        if self._count == 0 or last + raw - level < self._top - self._fall:
            self._count = self._next = 0
            self._bottom = self._top = level
            self._keep(level, steps, now_s)
            return False
        if level > self._top:
            self._top = level
        elif level < self._bottom:
            self._bottom = level
            self._worth = level + 3 * self._rise
        closed = level >= self._worth and self._rises(level, steps)
        if now_s - self._kept_s >= PART_S and steps - self._kept >= self._block_steps:
            self._keep(level, steps, now_s)
        return closed

    def _keep(self, level, steps, now_s):
        at = self._next
        self._levels[at] = level
        self._worth = self._bottom + 3 * self._rise
        self._places[at] = self._kept = steps
        self._kept_s = now_s
        self._next = at + 1 if at + 1 < BLOCKS else 0
        if self._count < BLOCKS:
            self._count += 1

    def _rises(self, level, steps):
        """Three equal parts, of any length, up to now."""
        levels, rise, newest = self._levels, self._rise, self._next - 1 + BLOCKS
        for part in range(1, self._count // 3 + 1):
            third = levels[(newest - part + 1) % BLOCKS]
            if level - third < rise:
                continue
            second = levels[(newest - 2 * part + 1) % BLOCKS]
            if third - second < rise:
                continue
            at = (newest - 3 * part + 1) % BLOCKS
            if second - levels[at] < rise:
                continue
            span = steps - self._places[at]
            if span > _SPAN_MAX:
                break
            total = level - levels[at]
            if self._low * total <= span << _SHIFT <= self._high * total:
                return True
        # It takes two milliseconds: not again for the same pressures, before another is kept.
        self._worth = level + (self._rise >> 7)
        return False

    def suction(self, raw):
        """A reading at any time. True for SUCTION_SAMPLES of them with an under-pressure."""
        self._sucked = self._sucked + 1 if raw < self._suction else 0
        return self._sucked >= SUCTION_SAMPLES

    def foot(self):
        """(raw, steps) where the rise began that ends with the last reading: the newest block that is less than a
        sixteenth above the lowest. (last reading, None) without any."""
        count, level = self._count, max(0, self._last)
        if not count:
            return level, None
        lowest = self._bottom
        low = lowest + (level - lowest) // 16
        for back in range(1, count + 1):
            at = (self._next - back + BLOCKS) % BLOCKS
            if self._levels[at] <= low:
                break
        return self._levels[at], self._places[at]

    def learn(self, steps, raw):
        """The line was closed while `steps` were pushed into it and the pressure rose by `raw` counts. A rise that is
        too small, or a compliance that is not possible, teaches nothing."""
        if raw * self._count_fl < LEARN_PA * FL_PER_NL or steps <= 0:
            return
        self.learned = 0
        self._bound()
        if self._low * raw <= steps << _SHIFT <= self._high * raw:
            self.learned = max(1, steps * self._step_fl * 1_000 // (raw * self._count_fl))
            self._bound()
