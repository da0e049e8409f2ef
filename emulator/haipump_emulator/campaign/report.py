"""The result of a campaign as files: a Parquet table of its lives, and a page to read.

Owns: columns and words. Must not: run or judge anything.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterable
from pathlib import Path

from haipump_emulator.campaign import farm, sometimes
from haipump_emulator.campaign.life import Life

PARQUET, PAGE = "lives.parquet", "index.html"
NO_PARQUET = "no Parquet table: pyarrow is missing; python -m pip install 'haipump[parquet]'"
_STYLE = "body{font:15px sans-serif;max-width:60em;margin:2em auto}td,th{text-align:left;padding:.1em 1em .1em 0}"
_BENCH = "Bench and teaching equipment: never to be connected to a person."


def write_parquet(path: Path, lives: Iterable[Life]) -> bool:
    """False when pyarrow is not installed."""
    try:
        import pyarrow
        import pyarrow.parquet as parquet
    except ImportError:
        return False
    columns: dict[str, list[object]] = {}
    for life in lives:
        for name, value in vars(life).items():
            columns.setdefault(name, []).append(json.dumps(value) if isinstance(value, dict) else value)
    parquet.write_table(pyarrow.table(columns), path)
    return True


def page(lives: list[Life], core: str) -> str:
    """One page, without anything from elsewhere."""
    hours = sum(life.hours for life in lives)
    broken = [life for life in lives if not life.held]
    seen = farm.totals(lives)
    hard = sum(life.hours for life in lives if life.kind == "hard")
    rows = {
        "simulated pump-hours": f"{hours:,.0f}",
        "lives": f"{len(lives):,}",
        "of them on reboots, serial line and flash": f"{100 * hard / max(hours, 1):.0f} %",
        "violations": f"{len(broken)}",
        "commands": f"{sum(life.commands for life in lives):,}",
        "faults": f"{sum(life.faults for life in lives):,}",
        "edges at STEP": f"{sum(life.edges for life in lives):,}",
        "starts of the firmware": f"{sum(life.boots for life in lives):,}",
        "never seen": sometimes.said(seen, hours, core),
    }
    parts = [_table("", rows), "<h2>Violations</h2>", _broken(broken), "<h2>Seen</h2>"]
    parts.append(_table("", {name: f"{count:,}" for name, count in seen.items()}))
    body = "\n".join(parts)
    head = f"<!doctype html><meta charset=utf-8><title>campaign</title><style>{_STYLE}</style>"
    return f"{head}\n<h1>Campaign on {core}</h1>\n<p>{_BENCH}</p>\n{body}\n"


def _table(title: str, rows: dict[str, str]) -> str:
    cells = "\n".join(f"<tr><th>{html.escape(name)}<td>{html.escape(value)}" for name, value in rows.items())
    return f"{title}<table>\n{cells}\n</table>"


def _broken(lives: list[Life]) -> str:
    if not lives:
        return "<p>None.</p>"
    return "\n".join(
        f"<p><b>{html.escape(life.broken)}</b> after {life.at_us / 3.6e9:.3f} h: {html.escape(life.text)}<br>"
        f"<code>{html.escape(farm.replay(life))}</code></p>"
        for life in lives
    )


def write(folder: Path, lives: list[Life], core: str) -> bool:
    """Both files. False when the Parquet table could not be made."""
    (folder / PAGE).write_text(page(lives, core), encoding="utf-8")
    return write_parquet(folder / PARQUET, lives)
