"""The drug library: what may go into the reservoir, within which limits, and who vouches for it.

Owns: the file's format, `Limit.judge`, the canonical form and its SHA-256, and the rule by which a library is taken or
refused. Must not: know a course. Where the numbers come from stands in the file, beside each of them.

The digest is over the canonical form: the parsed values, exact, in fixed order. Comments, order and the way a quantity
is written ("500 uL", "0.5 mL") do not change it; anything that changes a number, a word or a source does.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from importlib import resources
from pathlib import Path

from haipump import quantities as q
from haipump.errors import LibraryRefused
from haipump.therapy import reading as r
from haipump.therapy import signing

KINDS = ("drug", "flush", "diluent", "additive")
NAME_MAX = 24  # as the pump's messages carry a drug's name
PACKAGED = "library.toml"
# The library that comes with the program is known by its digest: it needs no key, and an altered one is refused. A
# change of library.toml on purpose changes this line with it; the test says to what.
PACKAGED_SHA256 = "c889a0537a3ad40a10dc6d39b92f3b785d6662d61c40755f3dde556fc8c8cb58"
_CONCENTRATIONS = ("mg/mL", "units/mL", "%")
_KEY_OF = {"mg/mL": "mg", "units/mL": "units", "%": "mL"}  # unit of a concentration -> unit of the amount in it


@dataclass(frozen=True)
class Limit:
    """Soft and hard ends of one quantity in `unit`; None: none. `source` says where they come from."""

    what: str
    unit: str
    source: str
    soft_max: Fraction
    hard_max: Fraction
    soft_min: Fraction | None = None
    hard_min: Fraction | None = None

    def judge(self, value: Fraction) -> tuple[str, str, str] | None:
        """None when `value` is within; else (error or warning, the reason with the numbers, what to do). Below a limit
        nobody is told to raise a dose: weight, flow or fill may be the slip."""
        for level, kind, low, high in (
            (r.ERROR, "hard", self.hard_min, self.hard_max),
            (r.WARNING, "soft", self.soft_min, self.soft_max),
        ):
            if value > high:
                return level, self._words(value, "above", kind, high), "lower it"
            if low is not None and value < low:
                return level, self._words(value, "below", kind, low), "check amount, weight and flow"
        return None

    def _words(self, value: Fraction, side: str, kind: str, end: Fraction) -> str:
        return f"{self.what} {self.text(value)} is {side} the {kind} limit of {self.text(end)} ({self.source})"

    def text(self, value: Fraction) -> str:
        """A value in this limit's unit; rates and volumes as people read them."""
        if self.unit == "mL/day" or self.unit == "mL":
            return f"{q.rounded(value / 1_000_000, 4)} {self.unit}"
        return f"{q.rounded(value, 4)} {self.unit}"


@dataclass(frozen=True)
class Stock:
    """What the pharmacy draws from. `concentration` is per mL: mg, units, or percent; `contains` in `amount_unit`."""

    concentration: Fraction
    unit: str
    contains: Fraction
    preparation: str
    source: str

    @property
    def amount_unit(self) -> str:
        """mg, units, or mL of a percentage."""
        return _KEY_OF[self.unit]

    def text(self) -> str:
        return f"{q.rounded(self.concentration, 3)} {self.unit}"


@dataclass(frozen=True)
class Thick:
    """What flows slower than water through a restrictor: `times_water` the viscosity at concentration `at`."""

    times_water: Fraction
    at: Fraction
    source: str


@dataclass(frozen=True)
class Drug:
    """One entry. `word` is its name for the pump and in files. `rate` in nL/day, `bolus` in nL."""

    word: str
    name: str
    kind: str
    keeps_open: bool
    diluents: tuple[str, ...]
    additives: tuple[str, ...]
    viscosity: str
    stability_days: int | None
    stability_source: str
    stock: Stock | None = None
    concentration: Limit | None = None
    dose_per_day: Limit | None = None
    rate: Limit | None = None
    bolus: Limit | None = None
    per_fill: Limit | None = None
    thick: Thick | None = None


@dataclass(frozen=True)
class DrawingSyringe:
    """What a pharmacy draws up with, in nL."""

    size_nl: int
    graduation_nl: int


@dataclass(frozen=True)
class Library:
    """A library that was taken. `vouched` says by whom: the program, or the holder of a key."""

    name: str
    version: int
    about: str
    drugs: Mapping[str, Drug]
    syringes: tuple[DrawingSyringe, ...]
    draws_max: int
    aim_percent: int
    refuse_percent: int
    sha256: str
    vouched: str

    def reservoir_drugs(self) -> list[str]:
        """Words of what may be in the reservoir by itself."""
        return [word for word, drug in self.drugs.items() if drug.kind != "additive"]


def load(path: Path | None = None, key: bytes | None = None) -> Library:
    """The packaged library, or a signed one. Raises CourseFileError, LibraryRefused."""
    if path is None:
        text = (resources.files("haipump.therapy") / PACKAGED).read_text(encoding="utf-8")
        return packaged(text)
    text = r.read_file(path, "drug library")
    return _read(path, text, lambda digest: signing.verify(path, digest, key))


def packaged(text: str) -> Library:
    """The library that came with the program, from its text. Raises LibraryRefused when it is not that one."""

    def known(digest: str) -> str:
        if digest != PACKAGED_SHA256:
            raise LibraryRefused(
                f"the packaged drug library was altered: its digest is {digest[:16]}..., and the program knows "
                f"{PACKAGED_SHA256[:16]}...",
                "install haipump again; a library of your own is named with --library and signed with "
                "`haipump therapy library sign`",
            )
        return "the program that it came with"

    return _read(Path(PACKAGED), text, known)


def unsigned(path: Path) -> Library:
    """A library that nobody has vouched for yet, for signing it. Raises CourseFileError."""
    return _read(path, r.read_file(path, "drug library"), lambda digest: "nobody")


def _read(path: Path, text: str, vouch) -> Library:
    top = r.parse(path, text, "drug library")
    head, drawing = top.table("library"), top.table("drawing")
    drugs_table = top.table("drug")
    drugs = {word: _drug(word, drugs_table.table(word)) for word in drugs_table.left()}
    syringes = tuple(_syringe(table) for table in top.tables("syringe"))
    fields = {
        "name": head.take("name", r.text),
        "version": head.take("version", r.whole(1, 10**6)),
        "about": head.take("about", r.text),
        "drugs": drugs,
        "syringes": syringes,
        "draws_max": drawing.take("draws_max", r.whole(1, 10)),
        "aim_percent": drawing.take("aim_percent", r.whole(1, 100)),
        "refuse_percent": drawing.take("refuse_percent", r.whole(1, 100)),
    }
    drawing.take("source", r.text)
    for table in (head, drawing, drugs_table, top):
        table.end()
    if not top.source.problems:
        _check_names(top.source, drugs)
        if not syringes:
            top.source.problem(("syringe",), "there is no syringe to draw up with", "add [[syringe]]")
    top.source.finish()
    digest = hashlib.sha256(canonical(fields)).hexdigest()
    return Library(**fields, sha256=digest, vouched=vouch(digest))


def _drug(word: str, table: r.Table) -> Drug:
    if len(word) > NAME_MAX or word != word.lower():
        table.source.problem(table.where, f"the name has capitals or over {NAME_MAX} letters", "use a-z, 0-9, -")
    stability = table.table("stability") if "stability" in table else None
    stock = _stock(table.table("stock")) if "stock" in table else None
    thick = _thick(table.table("thick")) if "thick" in table else None
    limits = {
        name: _limit(table.table(name), name.replace("_", " "), units, scale)
        for name, units, scale in (
            ("concentration", _CONCENTRATIONS, None),
            ("dose_per_day", ("mg/kg/day", "mg/day", "units/day"), None),
            ("per_fill", ("mg", "units"), None),
            ("rate", (), (q.rate_nl_per_day, "mL/day")),
            ("bolus", (), (q.volume_nl, "mL")),
        )
        if name in table
    }
    made = Drug(
        word=word,
        name=table.take("name", r.text),
        kind=table.take("kind", r.one_of(*KINDS)),
        keeps_open=table.take("keeps_open", r.truth),
        diluents=table.take("diluents", r.words),
        additives=table.take("additives", r.words),
        viscosity=table.take("viscosity", r.text),
        stability_days=stability.take("days_at_37c", r.whole(1, 365)) if stability else None,
        stability_source=stability.take("source", r.text) if stability else "",
        stock=stock,
        thick=thick,
        **limits,
    )
    if stability:
        stability.end()
    table.end()
    _check_drug(table, made)
    return made


def _check_drug(table: r.Table, drug: Drug) -> None:
    """What a drug of its kind must have."""
    needs = {
        "drug": ("stock", "concentration", "dose_per_day", "rate", "bolus", "stability_days"),
        "flush": ("stock", "concentration", "rate", "bolus", "stability_days"),
        "diluent": ("rate", "bolus", "stability_days"),
        "additive": ("stock", "per_fill"),
    }.get(drug.kind, ())
    for name in needs:
        if getattr(drug, name) is None:
            table.source.problem((*table.where, name.removesuffix("_days")), f"is missing: a {drug.kind} needs it")
    if drug.stock and drug.concentration and drug.stock.unit != drug.concentration.unit:
        table.source.problem((*table.where, "stock"), "its unit is not that of the concentration's limits")


def _check_names(source: r.Source, drugs: Mapping[str, Drug]) -> None:
    for word, drug in drugs.items():
        for kind, names in (("diluents", drug.diluents), ("additives", drug.additives)):
            for name in names:
                if name not in drugs:
                    source.problem(("drug", word, kind), f'"{name}" is not in the library; {r.close_to(name, drugs)}')


def _stock(table: r.Table) -> Stock:
    value, unit = table.take("concentration", r.measure(*_CONCENTRATIONS)) or (Fraction(1), "mg/mL")
    if unit == "%":
        contains = table.take("contains", lambda text: Fraction(q.volume_nl(text), 1_000_000))
    else:
        contains = table.take("contains", r.amount(_KEY_OF[unit]))
    made = Stock(value, unit, contains, table.take("preparation", r.text), table.take("source", r.text))
    for key, number in (("concentration", value), ("contains", contains)):
        if number is not None and number <= 0:
            table.source.problem((*table.where, key), "is 0", "write what is in the vial")
    table.end()
    return made


def _thick(table: r.Table) -> Thick:
    at = table.take("at", r.measure(*_CONCENTRATIONS))
    made = Thick(table.take("times_water", r.number), at[0] if at else Fraction(1), table.take("source", r.text))
    table.end()
    return made


def _limit(table: r.Table, what: str, units: tuple[str, ...], scale) -> Limit:
    """The ends of a limit, all in one unit and in order."""
    ends: dict[str, Fraction] = {}
    unit = scale[1] if scale else ""
    for name in ("hard_min", "soft_min", "soft", "hard"):
        if scale:
            value = table.take(name, lambda text: Fraction(scale[0](text)), *(() if "_" not in name else (None,)))
        else:
            found = table.take(name, r.measure(*units), *(() if "_" not in name else (None,)))
            value, written = found if found else (None, unit)
            if unit and written != unit:
                table.source.problem((*table.where, name), f"is in {written}, and the others in {unit}")
            unit = written
        if value is not None:
            ends[name] = value
    in_order = list(ends.values())
    if in_order != sorted(in_order):
        table.source.problem(table.where, "the limits are not in order", "hard_min <= soft_min <= soft <= hard")
    zero = Fraction(0)
    made = Limit(
        what=what,
        unit=unit,
        source=table.take("source", r.text),
        soft_max=ends.get("soft", zero),
        hard_max=ends.get("hard", zero),
        soft_min=ends.get("soft_min"),
        hard_min=ends.get("hard_min"),
    )
    table.end()
    return made


def _syringe(table: r.Table) -> DrawingSyringe:
    made = DrawingSyringe(table.take("size", q.volume_nl), table.take("graduation", q.volume_nl))
    table.take("source", r.text)
    table.end()
    if (
        made.size_nl
        and made.graduation_nl is not None
        and (not made.graduation_nl or made.size_nl % made.graduation_nl)
    ):
        table.source.problem((*table.where, "graduation"), "does not divide the size")
    return made


def canonical(fields: Mapping[str, object]) -> bytes:
    """The content as bytes that two equal libraries share: JSON with sorted keys, fractions as `n/d`."""

    def plain(value: object) -> object:
        if isinstance(value, Fraction):
            return f"{value.numerator}/{value.denominator}"
        return dict(vars(value)) if hasattr(value, "__dataclass_fields__") else str(value)

    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=plain).encode("ascii")
