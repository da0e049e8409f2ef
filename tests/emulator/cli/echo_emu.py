"""`haipump-emu` with an echo core in place of the firmware, and the real plant: for tests of the command."""

from haipump_emulator import cores
from haipump_emulator.cli import main
from tests.emulator.link.fake import EchoCore

FLASH_BYTES = 0x40000


def echo_core(recipe, plant, *, seed=0, flash=None, **options):
    core = EchoCore()
    core.plant = plant
    core.flash = bytearray(flash or b"\xff" * FLASH_BYTES)
    core.options = options
    core.seed = seed
    return core


if __name__ == "__main__":
    cores.Recipe.make = echo_core
    main()
