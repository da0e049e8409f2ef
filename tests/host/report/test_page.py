"""The page: its numbers are the file's, it is the same every time, needs nothing else, and says what is not known."""

from __future__ import annotations

import html
import re
import sqlite3
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from haipump.quantities import format_volume
from haipump.report import style, write_report
from haipump.report.figures import draw
from haipump.report.page import SAFETY
from haipump.report.source import read
from haipump.report.story import tell
from haipump.report.tables import signed, signed_volume
from haipump.report.words import percent
from tests.host.report.conftest import FIGURES, text_of


def rows_of(page: str, title: str) -> list[list[str]]:
    """The cells of the table under a heading, as text."""
    body = page.split(f"<h2>{title}</h2>")[1].split("</table>")[0]
    return [
        [html.unescape(re.sub("<[^>]+>", "", cell)) for cell in re.findall("<td[^>]*>(.*?)</td>", row)]
        for row in re.findall("<tr>(.*?)</tr>", body)[1:]
    ]


def tiles_of(page: str) -> dict[str, str]:
    found = re.findall('<div class="name">(.*?)</div><div class="value[^"]*">(.*?)</div>', page)
    return {re.sub("<[^>]+>", "", name): html.unescape(re.sub("<[^>]+>", "", value)) for name, value in found}


@pytest.fixture(scope="module")
def written(recorded, tmp_path_factory) -> list[Path]:
    return write_report(recorded("short"), tmp_path_factory.mktemp("written") / "report.html")


def test_the_same_file_makes_the_same_bytes(recorded, written, tmp_path) -> None:
    one = written
    other = write_report(recorded("short"), tmp_path / "other" / "report.html")
    assert [path.name for path in one] == ["report.html", *[f"report-{name}.png" for name in FIGURES]]
    for left, right in zip(one, other, strict=True):
        assert left.read_bytes() == right.read_bytes()
    for picture in one[1:]:
        data = picture.read_bytes()
        assert data.startswith(b"\x89PNG") and struct.unpack(">I", data[16:20])[0] > 900


def test_the_page_needs_nothing_else_and_knows_no_clock(recorded, written) -> None:
    page = written[0].read_text(encoding="utf-8")
    assert page.count("data:image/svg+xml;base64,") == len(FIGURES)
    assert not re.search(r"(?:src|href)=\"(?!data:)", page) and "@import" not in page and "url(" not in page
    seen = {note.seen_utc for note in read(recorded("short")).notes}
    assert set(re.findall(r"20\d\d-\d\d-\d\dT[0-9:+]+", page)) <= seen


def test_making_a_report_leaves_the_run_file_alone(recorded) -> None:
    path = recorded("rough")
    before = path.read_bytes()
    text_of(path)
    assert path.read_bytes() == before
    assert [beside.name for beside in path.parent.glob("rough*")] == ["rough.sqlite"]


def test_the_big_numbers_are_those_of_the_file(recorded) -> None:
    db = sqlite3.connect(recorded("calm"))
    totals = db.execute("select data from meta where what = 'totals' order by id desc limit 1").fetchone()[0]
    stepped, confirmed, left = db.execute(
        "select stepped_nl, confirmed_nl, reservoir_nl from record_commit order by seq desc limit 1"
    ).fetchone()
    commanded = db.execute("select commanded_nl from record_result").fetchone()[0]
    db.close()
    assert f'"commanded_nl": {commanded}' in totals and f'"stepped_nl": {stepped}' in totals
    tiles = tiles_of(text_of(recorded("calm")))
    said = {name: tiles[name].replace("\u00a0", " ") for name in tiles}
    assert said["Commanded"] == format_volume(commanded) == "4.2 mL"
    assert said["Stepped"] == format_volume(stepped)
    assert said["Confirmed"] == format_volume(confirmed)
    assert said["Left in the syringe"] == format_volume(left)
    assert said["Duration"] == "3 d" and said["Boluses"] == "3" and said["Alarms"] == "1"
    steps = (stepped - commanded) * 1_000_000 / 231_147_588
    assert said["Stepped less commanded"] == f"{signed(steps, 2)} microsteps"


def test_orders_and_days_are_those_of_the_file(recorded) -> None:
    page = text_of(recorded("calm"))
    db = sqlite3.connect(recorded("calm"))
    order, planned, commanded, stepped = db.execute(
        'select "order", planned_nl, commanded_nl, stepped_nl from record_result'
    ).fetchone()
    at_day = [
        db.execute(
            "select stepped_nl from records join record_commit using (seq) where not restated and uptime_s - "
            "(select uptime_s from records where name = 'intent') <= ? union all select delivered_nl from tele where "
            "uptime_s - (select uptime_s from records where name = 'intent') <= ? order by 1 desc limit 1",
            (day * 86_400, day * 86_400),
        ).fetchone()[0]
        for day in range(4)
    ]
    # days count from power-up, and the last one has what is left
    (begun_s,) = db.execute("select uptime_s from records where name = 'intent'").fetchone()
    before = round(begun_s * 1_300_000 / 86_400)
    db.close()
    row = rows_of(page, "Orders")[0]
    assert row[0] == str(order) and row[1] == "1.3 mL/day for 3 days, with a daily 0.1 mL bolus"
    assert row[5:8] == [format_volume(planned), format_volume(commanded), format_volume(stepped)]
    assert row[8] == signed_volume(stepped - commanded)
    days = rows_of(page, "Dose per day")
    assert [day[0] for day in days] == ["1", "2", "3", "All"]
    assert [day[3] for day in days] == [
        format_volume(volume) for volume in (1_400_000 - before, 1_400_000, 1_400_000 + before, 4_200_000)
    ]
    given = [format_volume(after - before) for before, after in zip(at_day, at_day[1:], strict=False)]
    assert [day[4] for day in days] == [*given, format_volume(stepped)]


def test_a_rough_run_tells_all_of_it(recorded) -> None:
    page = text_of(recorded("rough"))
    tiles = tiles_of(page)
    assert re.fullmatch(r"[\d.]+\u00a0mL to [\d.]+\u00a0mL", tiles["Stepped"])
    assert tiles["Stepped less commanded"] == "unknown"
    assert "Not as ordered" in page and "ended by a restart of the pump" in page
    alarms = rows_of(page, "Alarms")
    assert [row[:2] for row in alarms] == [
        ["medium", "paused too long"], ["high", "occlusion"], ["medium", "power lost"], ["medium", "infusion complete"],
    ]  # fmt: skip
    cut = next(row for row in rows_of(page, "Orders") if "restart" in row[4])
    assert cut[6:8] == ["unknown", "unknown"]
    assert " to " in next(row for row in rows_of(page, "Dose per hour") if row[0] == "All")[4]


@pytest.mark.parametrize("name", ["calm", "short", "rough"])
def test_every_page_has_its_provenance_and_the_warning(recorded, name) -> None:
    page = text_of(recorded(name))
    source = read(recorded(name))
    for fact in (
        source.sha256, source.latest("hello")["device"], source.latest("info")["app_hash"], f"{name}.sqlite",
        f"records 1 to {source.chain.last:,} ({source.chain.count:,})", source.records[-1].chain.hex(),
        "links, none broken", "231.147588 nL", "69 kPa",
    ):  # fmt: skip
        assert str(fact) in page
    assert SAFETY in page and SAFETY.endswith("never to be connected to a person.")


def test_damage_and_gaps_are_shown(copied) -> None:
    path = copied("short")
    raw = bytearray(read(path).records[4].raw)
    raw[20] ^= 1
    db = sqlite3.connect(path)
    db.execute("update records set raw = ? where seq = 5", (bytes(raw),))
    db.execute("delete from records where seq in (9, 10)")
    db.commit()
    db.close()
    page = text_of(path)
    assert "wrong: 5" in page and "9 to 10" in page and "damaged or was changed" in page


def test_text_from_the_file_is_never_markup(copied) -> None:
    path = copied("short")
    db = sqlite3.connect(path)
    db.execute("update meta set data = replace(data, '\"direct\"', '\"<script>alert(1)</script>\"')")
    db.execute('update meta set data = replace(data, \'"firmware": "\', \'"firmware": "<b>\')')
    db.commit()
    db.close()
    page = text_of(path)
    assert "<script" not in page and "&lt;script&gt;" in page and "<b>0" not in page


@pytest.mark.parametrize("lacking", ["journal and notes", "telemetry"])
def test_a_page_can_be_drawn_of_less(copied, lacking) -> None:
    path = copied("rough")
    db = sqlite3.connect(path)
    for what, statements in (
        ("journal", ["delete from records"]),
        ("telemetry", ["delete from tele", "delete from events"]),
        ("notes", ["delete from meta"]),
    ):
        if what in lacking:
            for statement in statements:
                db.execute(statement)
    db.commit()
    db.close()
    drawn = draw(tell(read(path)))
    assert set(drawn) == set(FIGURES) and all("<svg" in svg for svg, _ in drawn.values())
    page = text_of(path)
    assert "unknown" in page
    if "journal" in lacking:
        assert "not in the file" in page


def test_signs_and_shares() -> None:
    assert [signed(value, 2) for value in (0.004, -0.004, 1234.5, -0.31)] == ["0.00", "0.00", "+1,234.50", "−0.31"]
    assert [signed_volume(value) for value in (0, -72, 5_000)] == ["0 mL", "−0.000072 mL", "+0.005 mL"]
    assert [percent(*pair) for pair in ((-72, 19_600_000), (0, 5), (1, 0), (5, 10))] == [
        "−0.00037 %", "0 %", "", "+50.00 %",
    ]  # fmt: skip


def test_other_commands_do_not_wait_for_matplotlib() -> None:
    code = "import sys, haipump.cli; sys.exit(any(name in sys.modules for name in ('matplotlib', 'numpy')))"
    assert subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": ":".join(sys.path)}).returncode == 0


def test_the_tiles_give_way_in_a_narrow_window() -> None:
    """At 900 px four tiles in a row were wider than the page."""
    wide, _, narrow = style.CSS.partition("@media screen and (max-width: 1120px)")
    assert "repeat(4, minmax(0, 1fr))" in wide and "repeat(2, minmax(0, 1fr))" in narrow.partition("@media")[0]
    value = wide[wide.index(".tile .value {") :].partition("}")[0]
    assert "nowrap" not in value
