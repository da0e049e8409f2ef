"""Write docs/reliability.md from the results of a campaign: `python -m tools.reliability build/campaign`.

Owns: the page. Must not: run or judge a life.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from haipump_emulator.campaign import farm, sometimes
from haipump_emulator.campaign.life import Life

PAGE = Path(__file__).parents[1] / "docs" / "reliability.md"
HEAD = """# Reliability

What `make campaign` found, written by `tools/reliability.py`. What a life is and what must hold in it:
[testing](testing.md#campaigns).

"""


def render(order: farm.Order, lives: list[Life]) -> str:
    """The page."""
    hours = sum(life.hours for life in lives)
    hard = sum(life.hours for life in lives if life.kind == "hard")
    broken = [life for life in lives if not life.held]
    commands, faults = sum(life.commands for life in lives), sum(life.faults for life in lives)
    seen = farm.totals(lives)
    rows = [
        ("simulated pump-hours", f"{hours:,.0f}"),
        ("violations of an invariant", f"{len(broken)}"),
        ("core", order.core),
        ("firmware", f"`{order.firmware[:12]}`"),
        ("lives", f"{len(lives):,}"),
        ("on reboots, serial line and flash", f"{100 * hard / max(hours, 1):.0f} %"),
        ("commands, in all and in an hour", f"{commands:,}; {commands / max(hours, 1):.1f}"),
        ("faults, in all and in an hour", f"{faults:,}; {faults / max(hours, 1):.2f}"),
        ("starts of the firmware", f"{sum(life.boots for life in lives):,}"),
        ("edges at STEP", f"{sum(life.edges for life in lives):,}"),
        ("what must be seen and never was", ", ".join(sometimes.missing(seen, hours, order.core)) or "nothing"),
    ]
    text = HEAD + _table("what", "figure", rows)
    if broken:
        text += "\n## Violations\n\n" + "".join(
            f"- `{life.broken}`: {life.text}\n  `{farm.replay(life)}`\n" for life in broken
        )
    return text + "\n## Seen\n\n" + _table("what", "times", [(name, f"{count:,}") for name, count in seen.items()])


def _table(left: str, right: str, rows: list[tuple[str, str]]) -> str:
    lines = [f"| {left} | {right} |", "| --- | --- |", *[f"| {name} | {value} |" for name, value in rows]]
    return "\n".join(lines) + "\n"


def main(folder: str) -> None:
    path = Path(folder) / farm.LIVES
    order = farm.Order(**json.loads(path.read_text(encoding="utf-8").partition("\n")[0]))
    lives = farm.Store(Path(folder), order).lives
    PAGE.write_text(render(order, [lives[seed] for seed in sorted(lives)]), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
