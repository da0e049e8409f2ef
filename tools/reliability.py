"""Write docs/reliability.md: `python -m tools.reliability build/campaign build/campaign-chip`, folders with results.

Owns: the page. Must not: run or judge a life.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from haipump_emulator.campaign import farm, sometimes
from haipump_emulator.campaign.life import Life
from haipump_emulator.faults.catalogue import CATALOGUE

PAGE = Path(__file__).parents[1] / "docs" / "reliability.md"
HEAD = """# Reliability

What `make campaign` found, written by `tools/reliability.py`. What a life is and what must hold in it:
[testing](testing.md#campaigns). It speaks of the firmware that it names, no other: `haipump info` names the one of a
pump, and `make campaign` begins anew with a new one.

"""


# What must hold, and what it was held against.
INVARIANTS = {
    "over_delivery": "looks at the books",
    "under_delivery": "the same",
    "motion": "steps of the motor",
    "motor_on": "the same",
    "backwards": "the same",
    "dose_limit": "steps under a limit, each the end of a window",
    "lockout": "boluses under a lockout",
    "dose_used": "answers",
    "totals": "answers",
    "settings": "answers",
    "ack": "orders that were acknowledged",
    "twice": "orders in the flash",
    "forgery": "forged lines",
    "false_alarm": "alarms",
    "undetected": "faults that stood alone for long enough",
    "silent": "lives that recovered",
    "stuck": "the same",
    "exception": "lives",
    "digest": "lives, when each is lived twice",
}
SAME = {"under_delivery": "over_delivery", "motor_on": "motion", "backwards": "motion", "silent": "stuck"}


def render(order: farm.Order, lives: list[Life], chip: list[Life] | None = None) -> str:
    """The page. `chip`: lives on the emulated chip, of a campaign of their own."""
    hours = sum(life.hours for life in lives)
    hard = sum(life.hours for life in lives if life.kind == "hard")
    broken = [life for life in [*lives, *(chip or [])] if not life.held]
    commands, faults = sum(life.commands for life in lives), sum(life.faults for life in lives)
    seen = farm.totals(lives)
    on_chip = sum(life.hours for life in chip or [])
    rows = [
        ("simulated pump-hours", f"{hours:,.0f}"),
        ("violations of an invariant", f"{len(broken)}"),
        ("core", order.core),
        ("besides on the emulated chip: pump-hours, violations", _chip(chip or [], on_chip)),
        ("firmware", f"`{order.firmware[:12]}`"),
        ("lives", f"{len(lives):,}"),
        ("on reboots, serial line and flash", f"{100 * hard / max(hours, 1):.0f} %"),
        ("in locked mode; with dose limits", f"{_part(lives, 'locked')}; {_part(lives, 'dosed')}"),
        ("commands, in all and in an hour", f"{commands:,}; {commands / max(hours, 1):.1f}"),
        ("faults, in all and in an hour", f"{faults:,}; {faults / max(hours, 1):.2f}"),
        ("starts of the firmware", f"{sum(life.boots for life in lives):,}"),
        ("edges at STEP", f"{sum(life.edges for life in lives):,}"),
        ("fullest window of dose, as a part of its limit", f"{max((life.fullest for life in lives), default=0):.4f}"),
        ("what must be seen and never was", sometimes.said(seen, hours, order.core)),
        ("with every change, in `make test`", "1,008 pump-hours: the lives of seeds 1 to 42"),
    ]
    text = HEAD + _table("what", "figure", rows)
    if broken:
        text += "\n## Violations\n\n" + "".join(
            f"- `{life.broken}`: {life.text}\n  `{farm.replay(life)}`\n" for life in broken
        )
    text += "\n## By invariant\n\nNames: [testing](testing.md#campaigns).\n\n" + _invariants(lives)
    text += "\n## By fault\n\n" + _faults(lives, seen)
    others = [(name, f"{count:,}") for name, count in seen.items() if not name.startswith("fault ")]
    return text + "\n## Seen\n\n" + _table("what", "times", others)


def _chip(lives: list[Life], hours: float) -> str:
    if not lives:
        return "none"
    broken, edges = sum(not life.held for life in lives), sum(life.edges for life in lives)
    return f"{hours:,.0f} in {len(lives)} lives, {edges:,} edges; {broken}"


def _part(lives: list[Life], what: str) -> str:
    hours = sum(life.hours for life in lives)
    return f"{100 * sum(life.hours for life in lives if getattr(life, what)) / max(hours, 1):.0f} %"


def _judged(lives: list[Life]) -> dict[str, int]:
    found = {"exception": len(lives)}
    for life in lives:
        for name, count in life.judged.items():
            found[name] = found.get(name, 0) + count
    return found


def _invariants(lives: list[Life]) -> str:
    judged = _judged(lives)
    rows = [
        [f"`{name}`", f"{judged.get(SAME.get(name, name), 0):,}", what, str(sum(x.broken == name for x in lives))]
        for name, what in INVARIANTS.items()
    ]
    return _rows(["invariant", "held against", "what", "violations"], rows)


def _faults(lives: list[Life], seen: dict[str, int]) -> str:
    judged = _judged(lives)
    struck: dict[str, int] = {}
    for life in lives:
        for name in {strike.split()[1] for strike in life.strikes if not life.held}:
            struck[name] = struck.get(name, 0) + 1
    rows = [
        [f"`{name}`", row.group, f"{seen.get(f'fault {name}', 0):,}", f"{judged.get(f'undetected {name}', 0):,}"]
        + [str(struck.get(name, 0))]
        for name, row in CATALOGUE.items()
        if row.drawn
    ]
    head = ["fault", "group", "times", "alone, and its alarm in time", "in the plan of a life that broke"]
    return _rows(head, rows)


def _rows(head: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows]]
    return "\n".join(lines) + "\n"


def _table(left: str, right: str, rows: list[tuple[str, str]]) -> str:
    lines = [f"| {left} | {right} |", "| --- | --- |", *[f"| {name} | {value} |" for name, value in rows]]
    return "\n".join(lines) + "\n"


def load(folder: Path) -> tuple[farm.Order, list[Life]]:
    path = folder / farm.LIVES
    order = farm.Order(**json.loads(path.read_text(encoding="utf-8").partition("\n")[0]))
    lives = farm.Store(folder, order).lives
    return order, [lives[seed] for seed in sorted(lives)]


def main(folder: str, chip: str = "") -> None:
    order, lives = load(Path(folder))
    on_chip = load(Path(chip))[1] if chip and (Path(chip) / farm.LIVES).exists() else []
    PAGE.write_text(render(order, lives, on_chip), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
