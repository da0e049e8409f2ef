"""`haipump-emu` with an echo core in place of the firmware, and the real plant: for tests of the command."""

import haipump_emulator.scenario.rig as rig
from haipump_emulator.cli import main
from tests.emulator.link.fake import EchoCore

FLASH_BYTES = 0x40000


def echo_core(plant, *, seed=0, flash=None, **options):
    core = EchoCore()
    core.plant = plant
    core.flash = bytearray(flash or b"\xff" * FLASH_BYTES)
    core.options = options
    core.seed = seed
    return core


if __name__ == "__main__":
    rig.direct_core = echo_core
    main()
