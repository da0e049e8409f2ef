"""The host's end of the USB cable: a serial port that may be full, not read, or not plugged in.

Owns: bytes on their way in and out. Must not: lose a byte that the cable has taken, or know what a line is.

A host that does not read leaves the pump's last packet where it is: the transfer is given an end that never comes, and
when the host reads again the packet is asked for anew. Control transfers (enumeration) go on meanwhile, as they do when
a program has the port open and does not read it.

rp2040py makes no frames. The interpreter counts some after a port was opened before it sends, and its driver holds a
packet back until the next frame when that is near (RP2040-E15); without one the pump would be mute for ever. So a frame
comes every millisecond for as long as the pump listens for them and a host is there. The number of the last frame is
always right: it counts while the cable is plugged in, and stands still without a host that is awake.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rp2040py.usb.cdc import TX_FIFO_SIZE, USBCDC

_PACKET_US = 10  # the transfer of a packet
_NEVER_US = 10**14  # three years
_DPRAM = 0x50100000
_IN_CONTROL = 0x80  # buffer control of endpoint 0; 8 bytes per endpoint
_FULL, _AVAILABLE = 1 << 15, 1 << 10
_SUSPENDED = 1 << 4  # in SIE_STATUS
_RETRY_TICKS = 20 * 16_000
_FRAME = 1 << 17  # start of frame, in the interrupt registers
_FRAME_TICKS = 16_000_000  # a frame takes a millisecond
_FRAME_MASK = 0x7FF
_WINDOW = 0x50110  # the controller's registers on the bus
_FRAME_NUMBER = 0x48  # SOF_RD


class _Frames:
    """In the place of the USB controller on the bus: the frames that the host sends, and the number of the last one."""

    def __init__(self, mcu: Any) -> None:
        self._usb = mcu.usb_ctrl
        self._clock = mcu.clock
        self._counting = False
        self._reset = False  # the pump was reset by the host: frames follow
        self._offset = 0  # number, when it counts less the one that the clock would give
        mcu.peripherals[_WINDOW] = self
        self._next = mcu.clock.create_alarm(self._send)
        self._scheduled = False
        self.reset = self._usb.reset

    def run(self, on: bool) -> None:
        """The host sends frames from now on, or stops doing so."""
        if on != self._counting:
            sign = 1 if on else -1
            self._offset -= sign * (self._clock.ticks // _FRAME_TICKS)
            self._counting = on

    def begin(self) -> None:
        """The bus was reset: the pump gets frames from now on."""
        self._reset = True
        self._listen()

    def stop(self) -> None:
        """No frame reaches the pump until the bus was reset."""
        self._next.cancel()
        self._scheduled = self._reset = False

    def write_uint32(self, offset: int, value: int) -> None:
        self._usb.write_uint32(offset, value)
        self._listen()

    def write_uint32_atomic(self, offset: int, value: int, kind: int) -> None:
        self._usb.write_uint32_atomic(offset, value, kind)
        self._listen()

    def _listen(self) -> None:
        """The next frame comes, if the pump listens for it."""
        if self._reset and not self._scheduled and self._usb._int_enable & _FRAME:
            self._scheduled = True
            self._next.schedule_ticks(_FRAME_TICKS - self._clock.ticks % _FRAME_TICKS)

    def _send(self) -> None:
        self._scheduled = False
        if self._usb._int_enable & _FRAME:
            self._usb._int_raw |= _FRAME
            self._usb.check_interrupts()
            self._listen()

    def read_uint32(self, offset: int) -> int:
        if offset != _FRAME_NUMBER:
            return self._usb.read_uint32(offset)
        self._usb.read_uint32(offset)  # acknowledges the interrupt
        return self._offset + (self._clock.ticks // _FRAME_TICKS if self._counting else 0) & _FRAME_MASK


class Console:
    """`received(data)` is called with what the pump wrote. Made for a chip that was just powered."""

    def __init__(self, mcu: Any, received: Callable[[bytes], None], *, connected: bool, reads: bool) -> None:
        self._mcu = mcu
        self._usb = mcu.usb_ctrl
        self._received = received
        self._connected = connected
        self._reads = reads
        self.ready = False  # enumerated, and the port open
        self._cdc = cdc = USBCDC(self._usb)
        self._enable, self._begin = self._usb.on_usb_enabled, self._usb.on_reset_received
        self._usb.on_usb_enabled = self._on_enabled
        self._usb.on_reset_received = self._on_reset
        cdc.on_serial_data = self._on_data
        cdc.on_device_connected = self._on_ready
        self._retry = mcu.clock.create_alarm(self._resume)
        self._frames = _Frames(mcu)
        self._frames.run(connected)

    # --- what the host does ---

    @property
    def waiting(self) -> int:
        """Bytes that the pump has not fetched yet."""
        return self._cdc.tx_fifo.item_count

    def send(self, data: bytes) -> int:
        """Hand bytes over; returns how many found room."""
        count = min(len(data), TX_FIFO_SIZE - self.waiting)
        for byte in data[:count]:
            self._cdc.send_serial_byte(byte)
        return count

    def read(self, on: bool) -> None:
        """Stop or go on reading what the pump writes."""
        if on != self._reads:
            self._reads = on
            self._pace()
            if on and self.ready:
                self._resume()

    def connect(self, on: bool) -> None:
        """Plug the cable in or out."""
        if on == self._connected:
            return
        self._connected = on
        self._frames.run(on)
        if on:
            self._forget()
            self._usb.reset_device()
        else:
            self._forget()
            self._usb._sie_status |= _SUSPENDED
            self._usb._sie_status_updated()

    def after_reset(self) -> None:
        """The chip was reset, and so has left the bus."""
        self.ready = False
        self._retry.cancel()
        self._frames.stop()
        self._pace()

    # --- inside ---

    def _forget(self) -> None:
        """All transfers that were under way are over."""
        self.ready = False
        self._retry.cancel()
        self._frames.stop()
        self._cdc._on_controller_reset()
        self._usb._wire_reset()
        self._pace()

    def _pace(self) -> None:
        stopped = self.ready and not self._reads
        self._usb.write_delay_microseconds = _NEVER_US if stopped else _PACKET_US

    def _on_enabled(self) -> None:
        if self._connected:
            self._enable()

    def _on_reset(self) -> None:
        self._frames.begin()
        self._begin()

    def _on_ready(self) -> None:
        self.ready = True
        self._pace()

    def _on_data(self, data: bytes | bytearray) -> None:
        if self._connected and data:
            self._received(bytes(data))

    def _resume(self) -> None:
        """Ask for the packet that was left lying. The pump has nothing to do for it: it is still in its buffer."""
        usb, cdc = self._usb, self._cdc
        if len(usb._pending_reads[cdc._out_endpoint]) > len(cdc._parked_out_reads):
            self._retry.schedule_ticks(_RETRY_TICKS)  # a packet to the pump is on the wire: wait until it is over
            return
        place = _DPRAM + _IN_CONTROL + 8 * cdc._in_endpoint
        word = self._mcu.read_uint32(place)
        if word & _FULL and not word & _AVAILABLE:
            usb._wire_reset()
            self._mcu.write_uint32(place, word | _AVAILABLE)
