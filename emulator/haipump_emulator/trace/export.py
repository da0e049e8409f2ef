"""Recordings as tables: CSV, JSON Lines, Parquet.

Owns: the columns of each table. Must not: compute anything that the recording does not say.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from haipump_emulator.trace.format import Trace, TraceError

FORMATS = ("csv", "jsonl", "parquet")
TABLES = ("all", "steps", "pressure", "truth", "events", "inputs", "lines")
_BATCH = 65_536  # rows per Parquet row group, so that memory stays bounded

Row = dict[str, Any]


def rows(trace: Trace, table: str) -> Iterator[Row]:
    """The rows of one of `TABLES`, in order of time; those of `all` have one shape for everything."""
    return {
        "all": _all,
        "steps": _steps,
        "pressure": _pressure,
        "truth": _truth,
        "events": _events,
        "inputs": _inputs,
        "lines": _lines,
    }[table](trace)


def columns(trace: Trace, table: str) -> list[str]:
    """The column names of one of `TABLES`; those of `truth` are what the recording's plant knew."""
    if table == "truth":
        names: dict[str, None] = {}
        for _, fields in trace.truths:
            names.update(dict.fromkeys(fields))
        return ["t_us", *names]
    return {
        "all": ["t_us", "kind", "name", "value", "text"],
        "steps": ["t_us", "direction", "position"],
        "pressure": ["t_us", "pressure_pa"],
        "events": ["t_us", "name", "fields"],
        "inputs": ["t_us", "name", "arguments"],
        "lines": ["t_us", "way", "text"],
    }[table]


def _steps(trace: Trace) -> Iterator[Row]:
    position = 0
    for t_us, direction in trace.stream("step"):
        position += direction
        yield {"t_us": t_us, "direction": direction, "position": position}


def _pressure(trace: Trace) -> Iterator[Row]:
    return ({"t_us": t_us, "pressure_pa": pa} for t_us, pa in trace.pressures)


def _truth(trace: Trace) -> Iterator[Row]:
    return ({"t_us": t_us, **fields} for t_us, fields in trace.truths)


def _events(trace: Trace) -> Iterator[Row]:
    return ({"t_us": t_us, "name": name, "fields": json.dumps(fields)} for t_us, name, fields in trace.events)


def _inputs(trace: Trace) -> Iterator[Row]:
    return ({"t_us": t_us, "name": name, "arguments": json.dumps(args)} for t_us, name, args in trace.inputs)


def _lines(trace: Trace) -> Iterator[Row]:
    return ({"t_us": t_us, "way": way, "text": text} for t_us, way, text in trace.lines())


def _all(trace: Trace) -> Iterator[Row]:
    def row(t_us: int, kind: str, name: str = "", value: float | None = None, text: str = "") -> Row:
        return {"t_us": t_us, "kind": kind, "name": name, "value": value, "text": text}

    found = [row(r["t_us"], "step", "direction", r["direction"]) for r in _steps(trace)]
    found += [row(r["t_us"], "pressure", "pressure_pa", r["pressure_pa"]) for r in _pressure(trace)]
    found += [row(r["t_us"], "event", r["name"], text=r["fields"]) for r in _events(trace)]
    found += [row(r["t_us"], "input", r["name"], text=r["arguments"]) for r in _inputs(trace)]
    found += [row(r["t_us"], "line", r["way"], text=r["text"]) for r in _lines(trace)]
    for t_us, fields in trace.truths:
        for name, value in fields.items():
            if isinstance(value, str):
                found.append(row(t_us, "truth", name, text=value))
            else:
                found.append(row(t_us, "truth", name, value))
    found.sort(key=lambda item: item["t_us"])  # stable: within one moment the order above
    return iter(found)


def export(trace: Trace, path: Path, *, table: str = "all", form: str | None = None) -> int:
    """Write one table to `path`; the form comes from the ending of the name unless given. Returns the number of rows.
    Raises TraceError for an unknown form, and when Parquet is asked for without pyarrow."""
    form = form or path.suffix.lstrip(".").lower()
    writer = {"csv": _write_csv, "jsonl": _write_jsonl, "parquet": _write_parquet}.get(form)
    if writer is None:
        raise TraceError(f"{path}: can't tell the form from the name; end it in one of {', '.join(FORMATS)}, or say it")
    return writer(path, columns(trace, table), rows(trace, table))


def _write_csv(path: Path, names: list[str], found: Iterable[Row]) -> int:
    count = 0
    with open(path, "w", newline="", encoding="utf-8") as file:
        out = csv.DictWriter(file, names, restval="", lineterminator="\n")
        out.writeheader()
        for count, row in enumerate(found, start=1):  # noqa: B007 - the last value is the answer
            out.writerow(row)
    return count


def _write_jsonl(path: Path, names: list[str], found: Iterable[Row]) -> int:
    count = 0
    with open(path, "w", encoding="utf-8") as file:
        for count, row in enumerate(found, start=1):  # noqa: B007 - the last value is the answer
            file.write(json.dumps(row, separators=(",", ":")) + "\n")
    return count


def _write_parquet(path: Path, names: list[str], found: Iterable[Row]) -> int:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise TraceError(
            "Parquet needs pyarrow, which is not here: `pip install 'haipump[parquet]'`, or export to .csv or .jsonl"
        ) from None
    source = iter(found)
    first = list(islice(source, _BATCH))
    schema = pa.schema([(name, _arrow_type(pa, name, first)) for name in names])
    count = 0
    with pq.ParquetWriter(path, schema, compression="zstd") as out:
        batch = first
        while True:
            out.write_table(pa.Table.from_pylist(batch, schema=schema))
            count += len(batch)
            batch = list(islice(source, _BATCH))
            if not batch:
                return count


def _arrow_type(pa: Any, name: str, sample: list[Row]) -> Any:
    """The type of a column: what all its values are, floating point when they are numbers of both kinds."""
    if name == "t_us":
        return pa.int64()
    if name in ("value", "pressure_pa"):
        return pa.float64()  # a table without rows must have the columns of one with rows
    kinds = {type(row[name]) for row in sample}
    if not kinds or str in kinds:
        return pa.int64() if name in ("direction", "position") else pa.string()
    return {frozenset({bool}): pa.bool_(), frozenset({int}): pa.int64()}.get(frozenset(kinds), pa.float64())
