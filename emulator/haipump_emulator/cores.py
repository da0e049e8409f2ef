"""Which core a run gets: the emulated chip when there is an image for it, else the firmware in process.

Owns: that choice, and how either core is made. Must not: get an image; `haipump-emu image` does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Kind = Literal["chip", "direct"]
CHIP: Kind = "chip"
DIRECT: Kind = "direct"
KIND_HELP = "chip: the real image on an emulated RP2040; direct: the firmware in process."
STARTING = "starting the chip ..."
NO_IMAGE = "no MicroPython image here, so the firmware runs on `direct`; `haipump-emu image` gets one for `chip`"


class CoreError(Exception):
    """The core that was asked for can't be had; the message says why and what to do."""


@dataclass(frozen=True)
class Recipe:
    """What the cores of a run are made from. `uf2`: what the chip boots, the content of the file; `note`: one line for
    the user when the choice was not his."""

    kind: Kind
    uf2: bytes = b""
    note: str = ""

    def make(self, plant: Any, **options: Any) -> Any:
        """A core: options as `DirectCore` has them. Raises CoreError when the chip can't do one of them."""
        # Each is a lot to import for somebody who wants the other, or only to read a scenario.
        if self.kind == DIRECT:
            from haipump_emulator.direct import DirectCore

            return DirectCore(plant, **options)
        from haipump_emulator.chip import ChipCore

        try:
            return ChipCore(plant, image=self.uf2, **options)
        except ValueError as error:
            raise CoreError(f"on the chip: {error}") from None


def choose(
    kind: Kind | None = None, uf2: Path | None = None, progress: Callable[[str], None] = lambda text: None
) -> Recipe:
    """The recipe for `kind`; None: the chip when there is an image, else direct. `uf2`: boot this file instead of this
    installation's application. `progress` hears what takes seconds. Raises CoreError."""
    if kind == DIRECT:
        if uf2 is not None:
            raise CoreError("--uf2: only the chip boots one; leave out --core direct")
        return Recipe(DIRECT)
    from haipump_emulator.chip import firmware, image
    from haipump_fw.device import CompileError, shipped
    from haipump_fw.proto.messages import PROTOCOL_VERSION

    try:
        if uf2 is not None:
            progress(STARTING)
            firmware.expect_protocol(uf2, PROTOCOL_VERSION)
            return Recipe(CHIP, uf2.read_bytes())
        found = image.find()
        if found is not None:
            progress(STARTING)
            return Recipe(CHIP, firmware.combine(found, shipped()))
    except (image.ImageError, firmware.FirmwareError, CompileError, ValueError, OSError) as error:
        raise CoreError(str(error)) from None
    if kind == CHIP:
        raise CoreError(f"there is no MicroPython image to boot: {image.HOW_TO_GET_ONE}")
    return Recipe(DIRECT, note=NO_IMAGE)


def again(plant: Any, *, kind: Kind = DIRECT, **options: Any) -> Any:
    """A core as a recording's header describes it. Raises CoreError."""
    return choose(kind).make(plant, **options)
