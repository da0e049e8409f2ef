"""Host tools of haipump: a typed library and the `haipump` command.

    import haipump

    with haipump.connect() as pump:
        pump.rate("1.3 mL/day")
        pump.bolus("2 mL", over="10 min").wait()

It knows the pump only as bytes on a port; whether a board or an emulator answers, it cannot tell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from haipump.answers import Alarm, OrderStatus, Plan, RawRecord, Status
    from haipump.client import Pump, connect, stop
    from haipump.errors import HaipumpError
    from haipump.orders import Order
    from haipump.programme import Programme
    from haipump.protocol.codec import Event

__all__ = [
    "Alarm",
    "Event",
    "HaipumpError",
    "Order",
    "OrderStatus",
    "Plan",
    "Programme",
    "Pump",
    "RawRecord",
    "Status",
    "connect",
    "stop",
]


def __getattr__(name: str) -> Any:
    """What is asked for is read then: the command can so answer a Ctrl-C from its first moment on."""
    if name not in __all__:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    from haipump import answers, client, errors, orders, programme
    from haipump.protocol import codec

    for home in (answers, client, errors, orders, programme, codec):
        if hasattr(home, name):
            globals()[name] = getattr(home, name)
            break
    return globals()[name]
