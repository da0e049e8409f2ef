"""`haipump flash` on the emulated chip: mpremote, MicroPython's own raw REPL and file system, then the pump."""

import contextlib
import threading

from haipump import connect
from haipump.flashing import Flasher
from haipump_emulator.chip import ChipCore, firmware
from haipump_emulator.link.bridge import Bridge
from haipump_emulator.link.loop import Loop
from haipump_emulator.link.pty import PtyLink
from haipump_emulator.pacing import Pacer
from haipump_fw.device import Shipped, shipped

SPEED = 20  # an upper limit; the chip is busy most of the time, and about as fast as a real one then


@contextlib.contextmanager
def plugged_in(core, path):
    """The chip on a pty, in a thread that ends with the block."""
    link = PtyLink(str(path))
    loop = Loop(Pacer(core, SPEED), Bridge(core, link))
    thread = threading.Thread(target=loop.run)
    thread.start()
    try:
        yield str(path)
    finally:
        loop.stop()
        thread.join()
        link.close()


def test_an_update_over_usb_of_a_pump_that_came_as_a_uf2(image, tmp_path):
    """Into service and out of it, a file changed and one gone; the hash is what a UF2 would have brought, and settings
    and journal are still there."""
    ships = shipped()
    older = {**ships.files, "haipump_fw/gone.mpy": b"", "boot.py": b"# older\n" + ships.files["boot.py"]}
    path = tmp_path / "older.uf2"
    path.write_bytes(firmware.combine(image, Shipped(older)))
    core = ChipCore(image=path)
    with plugged_in(core, tmp_path / "pico") as port:
        with connect(port) as pump:
            before = pump.hello()
        with Flasher(ships, port) as flasher:
            done = flasher.install(flasher.look())
    assert done.info.app_hash == ships.app_hash
    assert set(done.changes.write) == {"boot.py", "app_hash"} and done.changes.remove == ("haipump_fw/gone.mpy",)
    assert (before.boot, done.greeting.boot) == (1, 2), "the journal goes on; service is no boot of the pump"
    assert core.boots == 3
    core.check()
