"""The cache of the flash window, which rp2040py models without its time.

Owns: the register that turns the cache on, as the firmware sees it. Must not: change what any read returns.

rp2040py keeps the cache's tags up to date at each access to flash, which takes an eighth of all wall time, and nothing
ever depends on them. So its model is kept off while the firmware finds the cache on. Not covered: the hit counter.
"""

from __future__ import annotations

from typing import Any

_WINDOW = 0x14000
_CTRL = 0x00
_ENABLED = 1


class CacheControl:
    """Takes the place of the cache's control block on the bus of a chip that was just powered."""

    def __init__(self, mcu: Any) -> None:
        self._block = mcu.xip_ctrl
        mcu.peripherals[_WINDOW] = self
        self.after_reset()

    def after_reset(self) -> None:
        """The chip was reset, and its registers are as silicon has them then: on."""
        self._on = self._block.ctrl & _ENABLED
        self._block.ctrl &= ~_ENABLED

    # --- the bus's side ---

    def read_uint32(self, offset: int) -> int:
        value = self._block.read_uint32(offset)
        return value | self._on if offset == _CTRL else value

    def write_uint32(self, offset: int, value: int) -> None:
        self.write_uint32_atomic(offset, value, 0)

    def write_uint32_atomic(self, offset: int, value: int, kind: int) -> None:
        if offset == _CTRL:
            before = self.read_uint32(_CTRL)
            value = (value, before ^ value, before | value, before & ~value)[kind]
            self._on = value & _ENABLED
            self._block.write_uint32(_CTRL, value & ~_ENABLED)
        else:
            self._block.write_uint32_atomic(offset, value, kind)

    def reset(self) -> None:
        self._block.reset()
        self.after_reset()
