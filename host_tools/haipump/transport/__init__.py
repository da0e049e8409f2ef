"""Bytes to and from a port, whatever kind it is. Knows nothing of the protocol.

`transport_for(port)` picks the kind: `socket://host:port` is TCP, everything else (`/dev/tty*`, a pty or a link to one,
`COM5`) a serial port. `find_ports()` lists what is connected.
"""

from haipump.transport.base import Disconnected, Transport
from haipump.transport.discovery import PortInfo, emulator_folder, find_ports, is_emulator
from haipump.transport.serial_port import SerialTransport
from haipump.transport.tcp import TcpTransport

__all__ = [
    "Disconnected",
    "PortInfo",
    "SerialTransport",
    "TcpTransport",
    "Transport",
    "emulator_folder",
    "find_ports",
    "is_emulator",
    "transport_for",
]


def transport_for(port: str) -> Transport:
    """The transport for a port's name; not opened yet. Raises PortMissing when a socket address is malformed."""
    return TcpTransport(port) if port.startswith("socket://") else SerialTransport(port)
