"""Plays a life on the direct core and keeps what it leaves in the flash: a fixture of the version that is checked out.

Owns: the lives, and the form of a fixture. Must not: write over a fixture that exists: it is what an old version wrote,
and a newer one can't write that any more.

    python -m tests.firmware.releases.make 2        writes version_2.json beside this file
"""

from __future__ import annotations

import base64
import json
import sys
import zlib
from pathlib import Path
from typing import Any

from haipump_fw.core import alarms
from haipump_fw.core.states import STATES
from haipump_fw.ports import IN_SERVICE
from haipump_fw.store import records
from tests.firmware.app.bench import Pump, pump

HERE = Path(__file__).parent
KEY = bytes(range(1, 33))


def used() -> Pump:
    """Orders of all kinds, an alarm, new limits; then the power goes in the middle of a bolus."""
    of = pump()
    of.order("prepare_limits max_bolus_nl=4000000 reservoir_low_nl=3000000 occlusion_pa=60000")
    of.order("prepare_settings kvo_nl_per_day=600000")
    of.order("prepare_prime volume_nl=20000 disconnected=1")
    of.run(30)
    of.order("prepare_rate rate_nl_per_day=240000000")
    of.run(100)
    of.order("prepare_bolus volume_nl=30000")
    of.run(60)
    of.core.plant.driver_fault(of.now, True)
    of.run(5)
    of.core.plant.driver_fault(of.now, False)
    of.run(5)
    of.act("ack")
    of.order("prepare_rate rate_nl_per_day=1300000")
    of.run(600)
    of.order("prepare_bolus volume_nl=2000000 duration_s=1200 override=1")
    of.run(300)
    return of


def locked() -> Pump:
    """A pump with a key, locked, at rest."""
    of = pump()
    of.core.press(IN_SERVICE, True)
    of.power_cycle()
    of.act("set_key key=" + KEY.hex())
    of.act("lock")
    of.core.press(IN_SERVICE, False)
    of.run(5)
    return of


LIVES = {"used": used, "locked": locked}


def _told(of: Pump) -> dict[str, Any]:
    """What this version reads from it."""
    settings = of.app.storage.settings
    return {
        "settings": dict(settings.values),
        "key": None if settings.key is None else settings.key.hex(),
        "records": [
            [record.seq, record.name, record.boot, record.uptime_s, record.restated, record.values]
            for record in of.journal()
        ],
        "totals": of.ask("totals"),
        "states": list(STATES),
        "alarms": {row[alarms.NAME]: place for place, row in enumerate(alarms.ALARMS, 1)},
        "format": records.FORMAT,
    }


def main(version: str) -> None:
    path = HERE / f"version_{version}.json"
    if path.exists():
        raise SystemExit(f"{path.name} exists: it is what that version wrote, and stays as it is")
    found = {}
    for name, life in LIVES.items():
        of = life()
        of.flush()
        of.run(0.001)
        told = _told(of)
        of.core.power(False)
        found[name] = told | {"flash": base64.b64encode(zlib.compress(bytes(of.core.flash), 9)).decode()}
    path.write_text("{" + ",\n".join(f'"{name}": {json.dumps(told)}' for name, told in found.items()) + "}\n")


if __name__ == "__main__":
    main(sys.argv[1])
