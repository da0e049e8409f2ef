"""Host tools of haipump: a typed library and the `haipump` command.

    import haipump

    with haipump.connect() as pump:
        pump.rate("1.3 mL/day")
        pump.bolus("2 mL", over="10 min").wait()

It knows the pump only as bytes on a port; whether a board or an emulator answers, it cannot tell.
"""

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
