"""What a record says about a course, worked out once for the report: pieces of delivery and plan, days, refills.

Owns: where each of the pump's moments lies in the course's time, and what a day held. Must not: judge (`findings` has)
or draw. Volumes nL, flows nL/day, doses ng, all exact; time is seconds since the first visit.
"""

from __future__ import annotations

import datetime
import json
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from haipump.quantities import SECONDS_PER_DAY
from haipump.report.source import ALARM_NAMES, PHASES, word
from haipump.therapy.filled import made_of, ordered_ng_per_day
from haipump.therapy.findings import recorded
from haipump.therapy.record import Record, moment

NL_PER_ML = 1_000_000


@dataclass(frozen=True)
class Piece:
    """A volume that went, or was to go, evenly from `start_s` to `end_s`; `ng_per_ml` of a drug."""

    start_s: int
    end_s: int
    volume_nl: Fraction
    ng_per_ml: Fraction
    drug: str

    @property
    def flow_nl_per_day(self) -> Fraction:
        return self.volume_nl * SECONDS_PER_DAY / (self.end_s - self.start_s)


@dataclass(frozen=True)
class Day:
    """Day `number` from 0: volumes in nL and doses in ng, None where nothing is known of them yet. `drug`: of which
    most went, or was to go; `dosed`: the same of drugs that have a mass."""

    number: int
    planned_nl: Fraction
    planned_ng: Fraction
    delivered_nl: Fraction | None
    delivered_ng: Fraction | None
    drug: str
    dosed: str


@dataclass(frozen=True)
class Refill:
    """One withdrawal: what the record says of it, its level the worst of its findings about flow and residual."""

    visit: int
    at_s: int
    filled_nl: int
    returned_nl: int
    elapsed_s: int
    reference_nl_per_day: Fraction
    label_nl_per_day: int
    flow_nl_per_day: Fraction
    error: Fraction
    u_error: Fraction
    limit: Fraction
    kinds: tuple[str, ...]
    ledger: Mapping[str, Any] | None
    expected_return_nl: Fraction
    flow_known: bool
    no_flow: str


class Course:
    """A record, read. Raises UsageError for a damaged one."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.name = record.name
        self.visits = record.rows("visits")
        self.fills = record.rows("fills")
        self.plans = record.rows("plans")
        self.findings = record.rows("findings")
        self.confirmations = record.rows("confirmations")
        self.adjustments = record.rows("adjustments")
        self.ended = {row["visit"]: row for row in record.rows("ended")}
        self.settings = {row["id"]: json.loads(row["settings"]) for row in self.visits}
        # From the first step that was confirmed: a visit that was only opened is no part of the course yet.
        first = self.confirmations[:1] or self.visits[:1]
        began = [row["at_utc"] for row in first] or [row["began_utc"] for row in record.rows("courses")]
        self.zero = moment(began[0])
        self.refills = [self._refill(row) for row in record.rows("readings")]
        self._filled_s = [self.at_s(row["at_utc"]) for row in self.fills]
        self.axis = Axis(record.rows("anchors"), self.at_s)
        self.pieces = self._delivered()
        self.end_s = max(
            [piece.end_s for piece in self.pieces]
            + [self.at_s(row["at_utc"]) for row in (*self._counted(), *self.fills)]
            + [0]
        )
        self.planned = self._planned()
        self.alarms = self._alarms()
        self.days = list(self._days())

    def at_s(self, utc: str) -> int:
        """Seconds since the first visit."""
        return int((moment(utc) - self.zero).total_seconds())

    def date(self, at_s: int) -> datetime.datetime:
        return self.zero + datetime.timedelta(seconds=at_s)

    def _counted(self) -> Iterator[Mapping[str, Any]]:
        """Visits and their steps, but for those that were left before anything was read or filled: their date may be
        the reason."""
        did = {row["visit"] for row in (*self.fills, *self.record.rows("readings"))}
        left = {number for number, row in self.ended.items() if row["how"] != "done" and number not in did}
        yield from (row for row in self.visits if row["id"] not in left)
        yield from (row for row in self.confirmations if row["visit"] not in left)

    def _refill(self, row: Mapping[str, Any]) -> Refill:
        kinds = tuple(one["kind"] for one in self.findings if one["visit"] == row["visit"])
        now = recorded(row)
        expected_nl = now.filled_nl - now.primed_nl - now.expected_dose_nl
        return Refill(
            row["visit"], self.at_s(row["at_utc"]), row["filled_nl"], row["returned_nl"], row["elapsed_s"],
            Fraction(row["reference_nl_per_day"]), row["label_nl_per_day"], Fraction(row["flow_nl_per_day"]),
            Fraction(row["error"]), Fraction(row["u_error"]), Fraction(row["error_limit"]), kinds,
            json.loads(row["ledger"]), expected_nl, now.flow_known, now.no_flow,
        )  # fmt: skip

    # --- what went

    def _delivered(self) -> list[Piece]:
        """Of a pump on a line what its journal says; else what was missing at each refill, spread evenly."""
        on_line = {row["device"] for row in self.record.rows("anchors")}
        pieces = [piece for device in sorted(on_line) for piece in self._from_journal(device)]
        devices = {row["id"]: row["device"] for row in self.visits}
        for refill in self.refills:
            if devices[refill.visit] not in on_line:
                start_s = refill.at_s - refill.elapsed_s
                out_nl = max(0, refill.filled_nl - refill.returned_nl)
                pieces.append(self._piece(start_s, refill.at_s, Fraction(out_nl)))
        return sorted(pieces, key=lambda piece: piece.start_s)

    def _from_journal(self, device: str) -> Iterator[Piece]:
        """Between two records of the pump's lifetime total; what a restart left in doubt counts by its lower end."""
        before: tuple[int, int] | None = None
        for row in self.record.rows("journal", "device = ? and name = 'commit' and not restated", device):
            at_s = self.axis.at(device, row["boot"], row["uptime_s"])
            if at_s is None:
                continue
            life_nl = json.loads(row["fields"])["life_nl"]
            if before is not None and at_s > before[0] and life_nl > before[1]:
                yield self._piece(before[0], at_s, Fraction(life_nl - before[1]))
            if before is None or at_s > before[0]:
                before = at_s, life_nl

    def _piece(self, start_s: int, end_s: int, volume_nl: Fraction) -> Piece:
        """With the drug that was in the pump at its middle."""
        index = bisect_right(self._filled_s, (start_s + end_s) // 2) - 1
        fill = self.fills[index] if index >= 0 else None
        concentration = Fraction(fill["concentration_ng_per_ml"]) if fill else Fraction(0)
        return Piece(start_s, end_s, volume_nl, concentration, fill["drug"] if fill else "")

    def _planned(self) -> list[Piece]:
        """By the rates that were set; drug as the course ordered it, else as it is in the fill. A plan ends with any
        later one, also where one has a wrong date."""
        found: list[Piece] = []
        end_s = self.end_s
        for row in reversed(self.plans):
            start_s = self.at_s(row["from_utc"])
            if end_s > start_s:
                volume_nl = Fraction(row["rate_nl_per_day"] * (end_s - start_s), SECONDS_PER_DAY)
                found.append(Piece(start_s, end_s, volume_nl, self._ordered_ng_per_ml(row), row["drug"]))
            end_s = min(end_s, start_s)
        return found[::-1]

    def _ordered_ng_per_ml(self, plan: Mapping[str, Any]) -> Fraction:
        """So strong that the rate gives the ordered dose."""
        made = made_of(self.settings.get(plan["visit"], {}), plan["drug"])
        ordered, rate_nl = ordered_ng_per_day(made), plan["rate_nl_per_day"]
        if ordered is None or not rate_nl:
            return Fraction(plan["concentration_ng_per_ml"])
        return ordered * NL_PER_ML / rate_nl

    # --- days

    def _days(self) -> Iterator[Day]:
        """Days of 24 hours from the first visit on. A day is known as far as the last measurement or record goes."""
        count = -(-self.end_s // SECONDS_PER_DAY)
        planned, delivered = _per_day(self.planned, count), _per_day(self.pieces, count)
        known_s = max((piece.end_s for piece in self.pieces), default=0)
        for number in range(count):
            known = number * SECONDS_PER_DAY < known_s
            out_nl, out_ng, drug, dosed = delivered[number]
            in_nl, in_ng, other, _ = planned[number]
            yield Day(number, in_nl, in_ng, out_nl if known else None, out_ng if known else None, drug or other, dosed)

    def _alarms(self) -> list[tuple[int | None, str, str]]:
        """(time, device, name) of each alarm of the pumps, when it began; a restart of a pump ends what stood."""
        found, standing = [], {}
        for row in self.record.rows("alarms"):
            key, phase = (row["device"], row["alarm"]), word(PHASES, row["phase"])
            if phase == "clear":
                standing.pop(key, None)
            elif phase != "silenced":
                if standing.get(key) != row["boot"]:
                    at_s = self.axis.at(row["device"], row["boot"], row["uptime_s"])
                    found.append((at_s, row["device"], word(ALARM_NAMES, row["alarm"])))
                standing[key] = row["boot"]
        return found

    @property
    def next_visit(self) -> str:
        return self.plans[-1]["next_utc"] if self.plans else ""


class Axis:
    """The pump's clock to the course's time: by the last known moment of the same start of the pump. A start of which
    none is known ended when the next one began: for how long the pump was off in between nobody knows."""

    def __init__(self, anchors: Sequence[Mapping[str, Any]], at_s) -> None:
        self._zero: dict[tuple[str, int], int] = {}
        for row in anchors:
            self._zero[row["device"], row["boot"] % 65_536] = at_s(row["at_utc"]) - row["uptime_s"]

    @property
    def known(self) -> bool:
        """Whether any pump has told its clock: one on a line."""
        return bool(self._zero)

    def at(self, device: str, boot: int, uptime_s: int) -> int | None:
        """Seconds of the course; None before all that is known of this pump."""
        zero = self._zero.get((device, boot))
        if zero is not None:
            return zero + uptime_s
        earlier = [known for (name, number), known in self._zero.items() if name == device and number < boot]
        later = [known for (name, number), known in self._zero.items() if name == device and number > boot]
        if not earlier or not later:
            return None
        return min(max(earlier) + uptime_s, min(later))


def _per_day(pieces: Sequence[Piece], count: int) -> list[tuple[Fraction, Fraction, str, str]]:
    """(nL, ng, drug of which most went, the same of those with a mass) of each day; what goes over midnight is divided
    evenly."""
    shares: list[dict[tuple[str, Fraction], Fraction]] = [{} for _ in range(count)]
    for piece in pieces:
        first, last = max(0, piece.start_s // SECONDS_PER_DAY), (piece.end_s - 1) // SECONDS_PER_DAY
        key = piece.drug, piece.ng_per_ml
        for day in range(first, min(last, count - 1) + 1):
            low_s, high_s = max(piece.start_s, day * SECONDS_PER_DAY), min(piece.end_s, (day + 1) * SECONDS_PER_DAY)
            share_nl = piece.volume_nl * (high_s - low_s) / (piece.end_s - piece.start_s)
            shares[day][key] = shares[day].get(key, Fraction(0)) + share_nl
    found = []
    for held in shares:
        dose_ng = sum((nl * ng_per_ml / NL_PER_ML for (_, ng_per_ml), nl in held.items()), Fraction(0))
        massive = {key: nl for key, nl in held.items() if key[1]}
        found.append((sum(held.values(), Fraction(0)), dose_ng, _most(held), _most(massive)))
    return found


def _most(held: Mapping[tuple[str, Fraction], Fraction]) -> str:
    return max(held, key=lambda key: held[key])[0] if held else ""
