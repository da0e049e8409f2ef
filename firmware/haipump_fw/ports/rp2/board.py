"""The composition of the board: every port once, in the order that keeps the motor off.

Owns: which part is built when, and the one shutdown that needs none of them. Must not: be imported by anything but
main.py.
"""

from machine import Pin, mem32

from haipump_fw.const import const
from haipump_fw.ports import IN_EDGES, Ports
from haipump_fw.ports.rp2 import pins
from haipump_fw.ports.rp2.console import Console, Wait, Wake
from haipump_fw.ports.rp2.devices import Clock, Motor, Panel, Sensors, Watchdog
from haipump_fw.ports.rp2.flash import Flash
from haipump_fw.ports.rp2.inputs import Inputs
from haipump_fw.ports.rp2.steps import Steps
from haipump_fw.ports.rp2.system import System

_EN = pins.gpio("en")
_EN_OFF = 1 - pins.active("en")
_PIEZO = pins.gpio("piezo")
_PIO0_CTRL = const(0x50200000)  # bits 0 to 3 run the state machines


def make_ports():
    """The ports of the board. Raises OSError when the flash is not laid out as it must be."""
    motor = Motor()  # first: EN high
    wake = Wake()
    steps = Steps()

    def release():
        steps.freeze()
        motor.enable(False)

    inputs = Inputs(wake, release)

    def runaway(_):
        release()
        inputs.trips |= IN_EDGES
        wake.flag = 1

    steps.on_edges(runaway)
    return Ports(
        clock=Clock(),
        steps=steps,
        motor=motor,
        sensors=Sensors(),
        inputs=inputs,
        panel=Panel(),
        console=Console(),
        flash=Flash(),
        watchdog=Watchdog(),
        system=System(),
        wait=Wait(wake).wait,
    )


def shut_down():
    """Motor off, steps stopped, piezo silent: from any state, built or not, as often as one likes."""
    Pin(_EN, Pin.OUT, value=_EN_OFF)
    mem32[_PIO0_CTRL] = 0
    Pin(_PIEZO, Pin.OUT, value=0)
