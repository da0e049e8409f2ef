"""The step generator on the simulated chip, with everything that its tests look at.

Owns: the record of edges and the true count of waiting words. Must not: ask the code under test for either.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

from tests.firmware.rp2.chip import Chip

STEP, DIR = 2, 3


class StepRig:
    """`steps` is the code under test; `edges` are the rising edges of STEP, `widths_us` the lengths of its pulses."""

    def __init__(self, chip: Chip, steps: Any):
        self.chip, self.steps = chip, steps
        self.edges: list[tuple[int, int]] = []  # (tick, level of DIR)
        self.widths_us: list[int] = []
        self.words = 0  # given to the code under test and not taken back
        chip.block.on_level.append(self._level)

    def _level(self, now: int, pad: int, level: int) -> None:
        if pad == STEP and level:
            self.edges.append((now, self.chip.block.level(DIR)))
        elif pad == STEP:
            self.widths_us.append((now - self.edges[-1][0]) // self.chip.block.TICKS_PER_US)

    @property
    def edges_us(self) -> list[int]:
        return [tick // self.chip.block.TICKS_PER_US for tick, _ in self.edges]

    @property
    def waiting(self) -> int:
        """Words that have made no edge yet."""
        return self.words - len(self.edges)

    def begin(self, direction: int, delay_us: int) -> None:
        self.words += 1
        self.steps.begin(direction, delay_us)

    def put(self, delay_us: int) -> bool:
        taken = self.steps.put(delay_us)
        self.words += taken
        return taken

    def halt(self) -> int:
        left = self.steps.halt()
        self.words -= left
        return left

    def periods_us(self) -> list[int]:
        return [b - a for a, b in zip(self.edges_us, self.edges_us[1:], strict=False)]


@contextlib.contextmanager
def step_rig(depth: int = 8, **options: Any) -> Iterator[StepRig]:
    """A rig at rest; `options` are those of `Chip`."""
    chip = Chip(**options)
    with chip.attach() as load:
        rig = StepRig(chip, load("steps").Steps())
        rig.steps.configure(depth)
        yield rig
