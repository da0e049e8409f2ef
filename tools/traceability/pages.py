"""docs/requirements.md and docs/hazards.md, from the tables and the tests' tags.

Owns: ROWS, all requirements in order; the verdict on each; the layout of the two pages. Must not: say anything about
the pump that is not in a table.
"""

from collections.abc import Iterable

from tools.traceability import accidents, gip, hazards, pumps, tags
from tools.traceability.model import NO, PARTLY, Requirement, find

ROWS: tuple[Requirement, ...] = (*gip.ROWS, *pumps.ROWS, *accidents.ROWS)
PUBLISHED = (*gip.ROWS, *pumps.ROWS)
COVERED, OPEN, NOT_APPLICABLE = "covered", "open", "does not apply"


def verdict(row: Requirement, tests: Iterable[str]) -> str:
    """What the page says of a row."""
    if row.applies == NO:
        return NOT_APPLICABLE
    return COVERED if row.where and list(tests) else OPEN


def faults(rows: Iterable[Requirement], tagged: dict[str, list[str]]) -> list[str]:
    """One line for each requirement that is not what it says, and for each tag of none."""
    rows = list(rows)
    known = [row.id for row in rows]
    found = [f"{identity} is in the table twice" for identity in sorted(set(known)) if known.count(identity) > 1]
    found += [
        f"{tests[0]} carries {identity}, which is no requirement"
        for identity, tests in tagged.items()
        if identity not in known
    ]
    for row in rows:
        tests = tagged.get(row.id, [])
        if row.applies in (NO, PARTLY) and not row.note:
            found.append(f"{row.id} applies {row.applies}, and does not say why")
        if row.applies == NO and (row.where or tests):
            found.append(f"{row.id} does not apply, but has code or tests")
        if row.applies != NO and not row.open:
            found += [] if row.where else [f"{row.id} names no function"]
            found += [] if tests else [f"{row.id} has no test"]
        if row.open and not row.open.strip():
            found.append(f"{row.id} is open, and does not say why")
        if row.open and row.where and tests:
            found.append(f"{row.id} is covered: it is not open any more")
        for name in row.where:
            try:
                find(name)
            except LookupError as error:
                found.append(f"{row.id}: {error}")
    return found


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(head), ["---"] * len(list(head)), *[list(row) for row in rows]]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _tests(names: Iterable[str]) -> str:
    """Tests as the page lists them: file and function, without the folder that all share."""
    return ", ".join(f"`{name.removeprefix('tests/').replace('.py::', ': ')}`" for name in names)


def _rows(rows: Iterable[Requirement], tagged: dict[str, list[str]]) -> str:
    head = ("id", "requirement", "applies", "implemented in", "tests", "status")
    body = []
    for row in rows:
        tests = tagged.get(row.id, [])
        notes = " ".join(text for text in (row.note, row.open and f"Open: {row.open}") if text)
        meaning = f"{row.meaning} *{notes}*" if notes else row.meaning
        where = ", ".join(f"`{name}`" for name in row.where)
        body.append((row.id, meaning, row.applies, where, _tests(tests), verdict(row, tests)))
    return _table(head, body)


def _count(rows: Iterable[Requirement], tagged: dict[str, list[str]]) -> str:
    verdicts = [verdict(row, tagged.get(row.id, ())) for row in rows]
    return (
        f"{len(verdicts)} rows: {verdicts.count(COVERED)} covered, {verdicts.count(OPEN)} open, "
        f"{verdicts.count(NOT_APPLICABLE)} do not apply."
    )


def requirements() -> list[str]:
    """The parts of docs/requirements.md."""
    tagged = tags.tags()
    return [
        "Published safety requirements for infusion pumps, accidents of real ones, and the rules that follow: in our "
        "own words, with the function that meets each and the tests that prove it (`@pytest.mark.requirement`). A row "
        "that applies and has no test fails the build. `make alive` proves each row: it replaces the named function by "
        "one that does nothing, and one of the tests must fail. haipump is bench and teaching equipment; no conformity "
        "is claimed. Names are below `haipump_fw`, tests below `tests`.",
        "## Published requirements",
        "GIP: Generic Infusion Pump hazard analysis and safety requirements 1.0 (University of Pennsylvania, 2009). "
        "CS, REQ-X: GPCA system requirements (CriSys, University of Minnesota, 2013), as modelled in MEMO with its "
        "extension. OP: Open PCA Pump requirements 1.0 (Kansas State University, 2020). " + _count(PUBLISHED, tagged),
        _rows(PUBLISHED, tagged),
        "## Accidents and rules",
        "What went wrong in pumps that were sold, from recall notices and reports, and the rules for the line that "
        "follow. " + _count(accidents.ROWS, tagged),
        _rows(accidents.ROWS, tagged),
    ]


def hazard_analysis() -> list[str]:
    """The parts of docs/hazards.md."""
    tagged = tags.tags()
    parts = [
        "What can go wrong with this rig and this therapy (a few millilitres a day into an artery, for two weeks at a "
        "time), why, what keeps it from doing harm, and where that is proven: each control names "
        "[requirements](requirements.md), whose tests must fail when the control is taken out. Severity is what would "
        "follow if a person were at the other end. Nobody is: haipump is bench and teaching equipment, never to be "
        "connected to a person. The themes are those of the GIP hazard analysis and of the FDA's guidance for infusion "
        "pumps (2014).",
    ]
    for theme in dict.fromkeys(hazard.theme for hazard in hazards.HAZARDS):
        parts.append(f"## {theme}")
        rows = [
            (
                hazard.id,
                hazard.hazard,
                "; ".join(hazard.causes),
                hazard.severity,
                "<br>".join(f"{what} ({', '.join(ids)})" for what, ids in hazard.controls),
                _state(hazard, tagged),
                hazard.rest,
            )
            for hazard in hazards.HAZARDS
            if hazard.theme == theme
        ]
        head = ("id", "hazard", "causes", "severity", "controls (requirements)", "verification", "what remains")
        parts.append(_table(head, rows))
    return parts


def _state(hazard: hazards.Hazard, tagged: dict[str, list[str]]) -> str:
    """How many tests prove the controls, and which of those are still open."""
    ids = list(dict.fromkeys(identity for _, proofs in hazard.controls for identity in proofs))
    tests = {test for identity in ids for test in tagged.get(identity, ())}
    missing = [identity for identity in ids if not tagged.get(identity)]
    said = f"{len(tests)} tests"
    return f"{said}; open: {', '.join(missing)}" if missing else said
