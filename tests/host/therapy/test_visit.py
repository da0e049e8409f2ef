"""A refill as it happens: at a pump without a line, and at the real firmware on the direct core."""

from __future__ import annotations

import json
import shutil
import sqlite3
from dataclasses import replace
from fractions import Fraction

import pytest

import haipump
from haipump.errors import Refused, UsageError
from haipump.therapy import visit as module
from haipump.therapy.findings import CONSTANT_FLOW, Interval, assess
from haipump.therapy.record import TABLES, Record
from haipump.therapy.refill import STATES, TRANSITIONS, Procedure, VisitPlan
from haipump.therapy.visit import Wanted, begin, take_up
from tests.host.direct_line import DirectLine
from tests.host.therapy.clinic import FLOXURIDINE, Day, Gone, Person, make

PROMPTS_MAX = 10
DAY_S = 86_400


@pytest.fixture
def record(tmp_path):
    with make(tmp_path / "course.sqlite") as made:
        yield made


def refill(record: Record, person: Person, day: Day, wanted: Wanted = FLOXURIDINE, pump=None):
    visit = begin(record, wanted, pump, day)
    return visit, visit.run(person)


def first_fill(record: Record, pump=None) -> None:
    refill(record, Person(withdraw="0"), Day(0), pump=pump)


# --- a pump of constant flow


def test_two_quiet_visits(record) -> None:
    first, _ = refill(record, Person(withdraw="0"), Day(0))
    person = Person()
    second, procedure = refill(record, person, Day(14))
    assert procedure.state == "done" and procedure.assessment is not None
    assert procedure.assessment.kinds == {"in_range"} and not person.refused
    assert second.prompts <= PROMPTS_MAX and first.prompts <= PROMPTS_MAX
    assert person.asked == ["identify", "drug", "access", "withdraw", "placement", *["portion"] * 3, "start"]
    (reading,) = record.rows("readings")
    assert (reading["filled_nl"], reading["returned_nl"], reading["elapsed_s"]) == (30_000_000, 11_800_000, 14 * DAY_S)
    assert reading["error"] == "0" and reading["flow_nl_per_day"] == "1300000"
    assert [row["volume_nl"] for row in record.rows("fills")] == [30_000_000] * 2
    assert [row["next_utc"] for row in record.rows("plans")] == ["2026-11-16", "2026-11-30"]
    assert {row["by"] for row in record.rows("confirmations")} == {"Eva Lang"}
    assert [row["how"] for row in record.rows("ended")] == ["done", "done"]
    assert record.check().intact


def test_the_longest_quiet_visit_takes_no_more_than_ten_prompts(record) -> None:
    """With the flush due, which it is every 28 days."""
    first_fill(record)
    refill(record, Person(), Day(14))
    person = Person()
    visit, _ = refill(record, person, Day(28))
    assert "flush" in person.asked
    assert visit.prompts == len(person.asked) == PROMPTS_MAX


def test_options_are_as_last_time(record) -> None:
    first_fill(record)
    _, procedure = refill(record, Person(), Day(14), Wanted(by="Jan Ott"))
    assert procedure.plan.drug == "floxuridine" and procedure.plan.concentration_ng_per_ml == 6_461_538
    assert record.rows("confirmations")[-1]["by"] == "Jan Ott"


@pytest.mark.parametrize(
    ("wanted", "words"),
    [(Wanted(), "--drug"), (Wanted(drug="x"), "--volume"), (Wanted(drug="x", fill_nl=30_000_000), "--flow")],
)
def test_what_is_known_from_nowhere_is_asked_for(record, wanted, words) -> None:
    with pytest.raises(UsageError) as caught:
        begin(record, wanted, None, Day())
    assert words in caught.value.next_step and not record.rows("visits")


def test_wrong_answers_are_asked_again_and_leave_nothing(record) -> None:
    first_fill(record)
    person = Person(
        identify=["7", ""], drug=["yes", "LOT 17"], access=["no", "perhaps", "yes"],
        withdraw=["11,8 mL", "11.8", "200mL", "11.8mL"], placement=["60mL", "5mL"], portion=["maybe", "yes"],
        start=["soon", "2027-01-01", "2026-11-16", "2026-11-20"],
    )  # fmt: skip
    visit, procedure = refill(record, person, Day(14))
    assert procedure.state == "done" and len(person.refused) == 12
    assert visit.prompts == 9 and record.last("plans")["next_utc"] == "2026-11-20"  # type: ignore[index]


def test_a_fast_pump_has_to_be_acknowledged(record) -> None:
    first_fill(record)
    person = Person(withdraw="5mL", acknowledge=["yes", "fever of a week, now over"])
    _, procedure = refill(record, person, Day(14))
    assert person.kinds == [{"fast"}] and "acknowledge" in person.asked
    text = next(text for text in person.texts if "more than 15 %" in text)
    assert "+37.4 %" in text and "4.704 mg/mL would fit" in text
    assert procedure.flow_nl_per_day == Fraction(25_000_000, 14)
    plan = record.last("plans")
    assert plan is not None and plan["reference_nl_per_day"] == "12500000/7" and plan["next_utc"] == "2026-11-23"
    assert Fraction(plan["u_reference"]) > 0


@pytest.mark.parametrize(("returned", "asked"), [("8mL", True), ("9.07mL", False), ("9.06mL", True), ("14.6mL", True)])
def test_a_flow_beyond_15_percent_is_acknowledged_before_a_drug_though_readings_can_make_it(
    record, returned: str, asked: bool
) -> None:
    """20.9 % for 8 mL, and 15 % of 18.2 mL are 2.73 mL."""
    first_fill(record)
    person = Person(withdraw=returned, acknowledge="weighed again, and so it is")
    _, procedure = refill(record, person, Day(14))
    assert person.kinds == [{"not_told_apart"}] and ("acknowledge" in person.asked) is asked
    assert procedure.state == "done" and procedure.flow_nl_per_day == 1_300_000, "the reference stays"
    if returned == "8mL":
        text = next(text for text in person.texts if "more than 15 %" in text)
        assert "measured +20.9 %, which readings can make" in text


def test_what_is_no_drug_asks_for_no_acknowledgement(record) -> None:
    first_fill(record)
    person = Person(withdraw="8mL")
    refill(record, person, Day(14), SALINE)
    assert person.kinds == [{"not_told_apart"}] and "acknowledge" not in person.asked


def test_a_slow_pump_is_tested_before_any_drug(record) -> None:
    first_fill(record)
    person = Person(withdraw="24mL", check_record="yes", patency="free", acknowledge="clot was flushed away")
    _, procedure = refill(record, person, Day(28))
    assert person.kinds[0] == {"slow", "more_than_expected"}
    assert person.asked[3:8] == ["withdraw", "check_record", "patency", "acknowledge", "placement"]
    assert procedure.state == "done" and "flush" not in person.asked, "one flush in a visit is enough"
    assert procedure.flow_nl_per_day == 1_300_000, "less than half is an obstacle, and no flow to dose by"


def test_a_blocked_catheter_gets_no_drug(record) -> None:
    first_fill(record)
    person = Person(withdraw="29.5mL", check_record="yes", patency="resistance", substitute="saline")
    _, procedure = refill(record, person, Day(14))
    assert procedure.state == "done"
    fill = record.rows("fills")[-1]
    assert (fill["drug"], fill["concentration_ng_per_ml"]) == ("heparin-saline", "0")
    assert "blocked" in [row["kind"] for row in record.rows("findings")]


def test_a_wrong_record_is_corrected_before_anything_is_injected(record) -> None:
    """15 mL had been filled, 30 mL were recorded; 7.5 mL come back after 6 days."""
    first_fill(record)
    person = Person(withdraw="29mL", check_record="35mL")
    _, procedure = refill(record, person, Day(5))
    assert person.kinds[0] >= {"more_than_expected"} and person.kinds[1] == {"in_range"}
    assert record.rows("readings")[0]["filled_nl"] == 35_000_000
    assert procedure.state == "done"


def test_more_than_was_filled_ends_the_visit(record) -> None:
    first_fill(record)
    _, procedure = refill(record, Person(withdraw="36mL", check_record="yes"), Day(14))
    assert procedure.state == "ended"
    assert record.rows("ended")[-1]["why"].startswith("more_than_filled")
    assert record.rows("fills")[-1]["volume_nl"] == 0, "it was emptied"


def test_a_dry_pump_is_flushed_and_its_flow_is_a_lower_bound(record) -> None:
    first_fill(record)
    person = Person(withdraw="0", patency="free")
    _, procedure = refill(record, person, Day(26))
    assert person.kinds == [{"dry"}] and "patency" in person.asked
    assert procedure.flow_nl_per_day == 1_300_000


def test_a_needle_beside_the_reservoir_is_placed_anew(record) -> None:
    first_fill(record)
    person = Person(placement=["0", "1mL", "4.9mL"], pocket="again")
    _, procedure = refill(record, person, Day(14))
    assert person.asked.count("pocket") == 2 and procedure.state == "done"
    assert [row["kind"] for row in record.rows("findings")] == ["in_range", "pocket", "pocket"]


def test_another_drug_does_not_take_over_the_concentration(record) -> None:
    first_fill(record)
    _, procedure = refill(record, Person(), Day(14), Wanted(drug="glycerin", by="Eva Lang"))
    assert procedure.plan.concentration_ng_per_ml == 0
    _, procedure = refill(record, Person(), Day(28), Wanted(drug="glycerin", by="Eva Lang"))
    assert procedure.plan.drug == "glycerin"


def test_a_correction_that_can_not_be_is_refused(record) -> None:
    first_fill(record)
    person = Person(withdraw="29mL", check_record=["5mL", "35mL"])
    refill(record, person, Day(5))
    assert person.refused == ["5 mL can't have been filled: 29 mL came back"]


def test_a_part_in_the_pocket_ends_the_visit(record) -> None:
    first_fill(record)
    _, procedure = refill(record, Person(portion=["yes", "no"]), Day(14))
    assert procedure.state == "ended"
    fill = record.rows("fills")[-1]
    assert (fill["volume_nl"], fill["u_nl"]) == (15_000_000, 10_000_000), "half of the lost part, and nobody knows"


@pytest.mark.parametrize(
    "state", [name for name, (who, _) in STATES.items() if who == "person" and name != "prime_ready"]
)
def test_a_visit_can_be_left_at_every_prompt(record, state: str) -> None:
    first_fill(record)
    answers = {"withdraw": "22mL", "check_record": "yes", "patency": "blocked", "substitute": "saline",
               "placement": "0", "pocket": "again", "acknowledge": "a reason"}  # fmt: skip
    ways = {"acknowledge": {"patency": "free"}, "portion": {"placement": "5mL"}, "perfusion": {"patency": "stiff"}}
    ways |= dict.fromkeys(("flush", "trace", "start"), {"withdraw": "11.8mL", "placement": "5mL", "flush": "stiff"})
    person = Person(**{**answers, **ways.get(state, {}), state: "leave"})
    late = state in ("flush", "trace")
    if late:
        refill(record, Person(), Day(14))
    _, procedure = refill(record, person, Day(28) if late else Day(14))
    assert procedure.state == "ended" and record.open_visit() is None and person.asked[-1] == state
    assert record.check().intact


# --- where the catheter leads


SALINE = Wanted(
    drug="heparin-saline", concentration_ng_per_ml=Fraction(0), fill_nl=30_000_000, label_nl_per_day=1_300_000,
    by="Eva Lang",
)  # fmt: skip


def kinds(record: Record, visit: int) -> list[str]:
    return [row["kind"] for row in record.rows("findings", "visit = ?", visit) if row["level"] in ("verify", "stop")]


def test_a_perfusion_check_comes_before_the_first_drug_and_has_the_flush_in_it(record) -> None:
    saline, drug, again = Person(withdraw="0"), Person(), Person()
    refill(record, saline, Day(0), SALINE)
    assert "perfusion" not in saline.asked and "flush" in saline.asked
    first, _ = refill(record, drug, Day(14), FLOXURIDINE)
    assert drug.asked[3:6] == ["withdraw", "perfusion", "placement"] and first.prompts <= PROMPTS_MAX
    text = next(text for text in drug.texts if "erfusion check" in text)
    assert "Bolus needle" in text and "liver, other organ, pocket" in text
    refill(record, again, Day(28))
    assert not {"perfusion", "flush"} & set(again.asked), "flushed 14 days ago, with the tracer"


def test_a_perfusion_check_by_the_calendar_takes_the_place_of_the_flush(record) -> None:
    often = replace(FLOXURIDINE, perfusion_every_days=28)
    refill(record, Person(withdraw="0"), Day(0), often)
    refill(record, Person(), Day(14))
    person = Person()
    visit, _ = refill(record, person, Day(28))
    assert visit.prompts == PROMPTS_MAX and "perfusion" in person.asked and "flush" not in person.asked


def test_a_septum_that_is_not_found_ends_the_visit_without_a_needle(record) -> None:
    first_fill(record)
    person = Person(access="not found")
    _, procedure = refill(record, person, Day(14))
    assert procedure.state == "ended" and person.asked == ["identify", "drug", "access"]
    assert record.rows("ended")[-1]["why"] == "turned_over" and kinds(record, 2) == ["turned_over"]
    assert len(record.rows("fills")) == len(record.rows("plans")) == 1, "it goes on with what is in it"


# what is typed at the flush, what is typed at the tracer, findings, end when that was before the fill, and behind it
SIGNS = [
    ("stiff", "liver", ["stiff"], "done", "done"),
    ("no blood", "liver", ["no_blood"], "done", "done"),
    ("no blood", "pocket", ["no_blood", "leak"], "saline", "ended"),
    ("stiff", "other organ", ["stiff", "other_organ"], "saline", "ended"),
    ("swelling", None, ["swelling"], "saline", "ended"),
    ("blocked", None, ["blocked"], "saline", "ended"),
]


@pytest.mark.parametrize(("flush", "tracer", "found", "before", "behind"), SIGNS)
def test_signs_of_the_flush_before_the_fill(record, flush, tracer, found, before, behind) -> None:
    """No drug goes in that may go astray."""
    first_fill(record)
    answers = {"check_record": "yes", "acknowledge": "an obstacle", "substitute": "saline", "perfusion": tracer or ""}
    person = Person(withdraw="29mL", patency=flush, **answers)
    _, procedure = refill(record, person, Day(14))
    assert procedure.state == "done" and [one for one in kinds(record, 2) if one not in SLOW] == found
    assert (procedure.drug == "heparin-saline") is (before == "saline") and "flush" not in person.asked


@pytest.mark.parametrize(("flush", "tracer", "found", "before", "behind"), SIGNS)
def test_signs_of_the_flush_behind_the_fill(record, flush, tracer, found, before, behind) -> None:
    first_fill(record)
    refill(record, Person(), Day(14))
    _, procedure = refill(record, Person(flush=flush, trace=tracer or ""), Day(28))
    assert procedure.state == behind and kinds(record, 3) == found and record.check().intact


SLOW = ("slow", "more_than_expected")


def test_a_flush_that_is_doubtful_at_the_perfusion_check_is_noted_and_the_tracer_decides(record) -> None:
    person = Person(withdraw="0", perfusion=["stiff", "no blood", "lever", "liver"])
    _, procedure = refill(record, person, Day(0))
    assert procedure.state == "done" and kinds(record, 1) == ["stiff", "no_blood"]
    assert person.refused == ['"lever" is none of the answers']
    tracer = [text for text in person.texts if "erfusion check" in text]
    assert "Bolus needle" in tracer[0] and "Bolus needle" not in tracer[1]


@pytest.mark.parametrize("tracer", ["blocked", "swelling", "pocket", "other organ"])
def test_after_a_sign_no_drug_goes_in_before_the_tracer_shows_the_liver(record, tracer) -> None:
    first = Person(withdraw="0", perfusion=tracer, substitute="saline")
    _, procedure = refill(record, first, Day(0))
    assert procedure.drug == "heparin-saline" and record.rows("fills")[-1]["drug"] == "heparin-saline"
    second, third = Person(), Person()
    refill(record, second, Day(14))
    refill(record, third, Day(28))
    assert "perfusion" in second.asked and "perfusion" not in third.asked
    assert [row["drug"] for row in record.rows("fills")] == ["heparin-saline", "floxuridine", "floxuridine"]


def test_a_visit_that_older_tools_began_is_taken_up_as_it_went_on_then(record) -> None:
    """Its settings know no perfusion check, and its answers stand in the order of then."""
    _, known = module.plan_for(record, FLOXURIDINE, None, "none", Day(0)())
    assert known.pop("perfusion_due") is True
    known.pop("perfusion_every_days")
    number = record.append("visits", at_utc=Day(0)().isoformat(), procedure="refill", pump="constant flow",
                           device="none", settings=json.dumps(known))  # fmt: skip
    answers = [("identify", {"by": "Eva Lang"}), ("drug", {"lot": "17"}), ("access", {"yes": True}),
               ("withdraw", {"returned_nl": 0}), ("placement", {"pushed_nl": 5_000_000, "returned_nl": 5_000_000}),
               *[("portion", {"in": True, "volume_nl": 10_000_000})] * 3, ("flush", {"patency": "free"})]  # fmt: skip
    for turn, (step, answer) in enumerate(answers, 1):
        record.confirm(number, turn, step, answer, "Eva Lang", Day(0)().isoformat())
    visit = take_up(record, None, Day(0))
    assert visit is not None and visit.procedure.state == "start"
    person = Person()
    assert visit.run(person).state == "done" and person.asked == ["start"]


# --- taken up again


def finished(path) -> list[tuple[int, str, str]]:
    with make(path) as record:
        assert record.check().intact
        return [(row["turn"], row["step"], row["answer"]) for row in record.rows("confirmations")]


def test_interrupted_at_every_prompt_it_goes_on(tmp_path) -> None:
    whole = tmp_path / "whole.sqlite"
    with make(whole) as record:
        first_fill(record)
        refill(record, Person(), Day(14))
    wanted = finished(whole)
    path = tmp_path / "course.sqlite"
    with make(path) as record:
        first_fill(record)
        with pytest.raises(KeyboardInterrupt):
            begin(record, FLOXURIDINE, None, Day(14)).run(Gone(0))
    for _ in range(8):
        with make(path) as record:
            visit = take_up(record, None, Day(14))
            assert visit is not None
            with pytest.raises(KeyboardInterrupt):
                visit.run(Gone(1))
    with make(path) as record:
        visit = take_up(record, None, Day(14))
        assert visit is not None and visit.run(Person()).state == "done" and visit.prompts == 9
        assert take_up(record, None, Day(14)) is None
    assert finished(path) == wanted


class Killed(Exception):
    """The process is gone."""


def dying(statements: int):
    class Connection(sqlite3.Connection):
        left = statements

        def execute(self, *args):
            if Connection.left <= 0:
                raise Killed
            Connection.left -= 1
            return super().execute(*args)

    return lambda path, **more: sqlite3.connect(path, factory=Connection, **more)


def contents(path) -> dict[str, list[dict]]:
    with make(path) as record:
        assert record.check().intact
        return {name: record.rows(name) for name in TABLES}


def test_killed_at_every_statement_it_comes_out_the_same(tmp_path) -> None:
    """A process dies before that statement of a visit, another one goes on: the record is the same, row by row."""
    begun, whole, path = (tmp_path / f"{name}.course" for name in ("begun", "whole", "killed"))
    with make(begun) as record:
        first_fill(record)
    answers = {"withdraw": "5mL", "acknowledge": "a week of fever", "placement": ["0", "5mL"], "pocket": "again"}
    statements, killed = 0, True
    shutil.copy(begun, whole)
    with make(whole) as record:
        refill(record, Person(**answers), Day(14))
    wanted = contents(whole)
    while killed:
        shutil.copy(begun, path)
        killed = False
        try:
            with make(path, connect=dying(statements)) as record:
                begin(record, FLOXURIDINE, None, Day(14)).run(Person(**answers))
        except Killed:
            killed = True
        with make(path) as record:
            visit = take_up(record, None, Day(14))
            if visit is None and len(record.rows("ended")) < 2:
                visit = begin(record, FLOXURIDINE, None, Day(14))
            if visit is not None:
                pocketed = bool(record.rows("findings", "kind = 'pocket'"))
                visit.run(Person(**{**answers, "placement": "5mL" if pocketed else ["0", "5mL"]}))
        assert contents(path) == wanted, statements
        statements += 1
    assert statements > 100


def test_another_pump_or_way_is_refused(record) -> None:
    first_fill(record)
    with pytest.raises(UsageError, match="the last visit was that of pump none"):
        begin(record, FLOXURIDINE, None, Day(14), device="label 7")
    begin(record, FLOXURIDINE, None, Day(14), device="label 7", new_pump=True)
    with pytest.raises(UsageError, match="a visit is open"):
        begin(record, FLOXURIDINE, None, Day(15))


def test_a_new_pump_is_compared_with_nothing_of_the_old_one(record) -> None:
    first_fill(record)
    visit = begin(record, FLOXURIDINE, None, Day(14), device="label 7", new_pump=True)
    procedure = visit.run(Person(withdraw="0"))
    assert procedure.assessment is None and procedure.state == "done"
    later = begin(record, FLOXURIDINE, None, Day(28), device="label 7").run(Person())
    assert later.assessment is not None and later.assessment.kinds == {"in_range"}


def test_an_open_visit_goes_on_as_it_began_and_not_in_the_past(record) -> None:
    first_fill(record)
    begin(record, FLOXURIDINE, None, Day(14))
    with pytest.raises(UsageError, match="began with another fill"):
        take_up(record, None, Day(14), Wanted(fill_nl=20_000_000))
    with pytest.raises(UsageError, match="would go on before that"):
        take_up(record, None, Day(13))
    assert take_up(record, None, Day(14), FLOXURIDINE) is not None, "the same command goes on with it"


def test_a_slip_of_the_year_is_refused_at_entry(record) -> None:
    """Ten years later; the visit of this year is possible all the same."""
    first_fill(record)
    with pytest.raises(UsageError) as caught:
        begin(record, FLOXURIDINE, None, Day(14 + 3_652))
    assert "3666 days after it" in caught.value.what and "--late" in caught.value.next_step
    assert len(record.rows("visits")) == 1
    begin(record, FLOXURIDINE, None, Day(14))
    with pytest.raises(UsageError, match="would go on 3652 days later"):
        take_up(record, None, Day(14 + 3_652))


def test_a_visit_years_later_is_asked_for_by_name_and_compared_with_nothing(record) -> None:
    first_fill(record)
    visit, procedure = refill(record, Person(), Day(800), replace(FLOXURIDINE, late=True))
    assert procedure.state == "done" and procedure.assessment is None and not record.rows("readings")
    assert visit.settings["late"] is True
    _, procedure = refill(record, Person(), Day(814), FLOXURIDINE)
    assert procedure.assessment is not None and procedure.assessment.kinds == {"in_range"}


def test_a_visit_of_a_wrong_year_can_always_be_left_and_holds_nothing_up(record) -> None:
    """As older tools could begin it: it stands at a step of 2036."""
    first_fill(record)
    visit = begin(record, replace(FLOXURIDINE, late=True), None, Day(3_666))
    with pytest.raises(KeyboardInterrupt):
        visit.run(Gone(3))
    with pytest.raises(UsageError) as caught:
        take_up(record, None, Day(14))
    assert "--leave" in caught.value.next_step
    left = take_up(record, None, Day(14), leaving=True)
    assert left is not None
    left.leave("Eva Lang", "a slip of the year")
    assert record.open_visit() is None and record.rows("ended")[-1]["at_utc"] == Day(3_666)().isoformat()
    _, procedure = refill(record, Person(), Day(14))
    assert procedure.state == "done" and procedure.assessment is not None
    assert procedure.assessment.kinds == {"in_range"} and record.check().intact


def test_the_pump_without_a_line_is_the_last_one_when_none_is_named(record) -> None:
    begin(record, FLOXURIDINE, None, Day(0), device="SN1").run(Person(withdraw="0"))
    visit, procedure = refill(record, Person(), Day(14))
    assert visit.device == "SN1" and procedure.assessment is not None
    with pytest.raises(UsageError, match="the last visit was that of pump SN1, and this is SN2"):
        begin(record, FLOXURIDINE, None, Day(28), device="SN2")
    assert begin(record, FLOXURIDINE, None, Day(28), new_pump=True).device == "none"


def test_a_visit_before_the_last_one_is_refused(record) -> None:
    refill(record, Person(withdraw="0"), Day(10))
    with pytest.raises(UsageError, match="would be before it"):
        begin(record, FLOXURIDINE, None, Day(9))


# --- the table


def test_every_state_is_reached_and_left() -> None:
    reached, waiting = set(), ["identify"]
    while waiting:
        state = waiting.pop()
        if state not in reached:
            reached.add(state)
            waiting += [dest for _, sources, dest, _ in TRANSITIONS if state in sources]
    assert reached == set(STATES)
    for state, (who, _) in STATES.items():
        assert any(state in sources for _, sources, _, _ in TRANSITIONS) is (who != "end")


def test_no_drug_without_a_reading_a_needle_check_and_a_record_that_was_checked() -> None:
    """Every way to `portion` leads over `placement`, and every way to `placement` over `withdraw`."""
    assert {source for _, sources, dest, _ in TRANSITIONS if dest == "portion" for source in sources} == {
        "placement", "portion",
    }  # fmt: skip
    for gate in ("withdraw", "placement"):
        seen, waiting = set(), ["identify"]
        while waiting:
            state = waiting.pop()
            if state not in seen and state != gate:
                seen.add(state)
                waiting += [dest for _, sources, dest, _ in TRANSITIONS if state in sources]
        assert "portion" not in seen and "load" not in seen and "start" not in seen


# --- the real firmware


@pytest.fixture
def line() -> DirectLine:
    return DirectLine()


@pytest.fixture
def pump(line):
    with haipump.connect(line) as connected:
        yield connected


class LineDay(Day):
    """The course's time is that of the emulated pump."""

    def __init__(self, line: DirectLine) -> None:
        super().__init__()
        self.line = line

    def __call__(self):
        self.days = self.line.now() / DAY_S
        return super().__call__()


def test_two_visits_at_the_real_firmware(record, line, pump) -> None:
    day = LineDay(line)
    first, procedure = refill(record, Person(withdraw="0"), day, pump=pump)
    assert procedure.state == "done" and first.prompts == PROMPTS_MAX
    status = pump.status()
    assert (status.state, status.basal_nl_per_day) == ("infusing", 1_300_000)
    assert pump.totals().primed_nl == pytest.approx(500_000, abs=1_000)
    line.sleep(2 * DAY_S)
    person = Person(withdraw="26.9mL")
    second, procedure = refill(record, person, day, pump=pump)
    assert procedure.assessment is not None and procedure.assessment.kinds == {"in_range"}
    assert abs(procedure.assessment.error) < Fraction(1, 1_000)
    ledger = json.loads(record.rows("readings")[0]["ledger"])
    assert ledger["commanded_nl"] == pytest.approx(2_600_000, abs=1_000)
    assert ledger["loaded_nl"] == pytest.approx(30_000_000, abs=1_000)
    assert second.prompts <= PROMPTS_MAX and pump.status().state == "infusing"
    names = {row["name"] for row in record.rows("journal")}
    assert names >= {"commit", "intent", "syringe", "boot"} and record.rows("deliveries")
    assert record.check().intact
    assert module.download(record, pump) <= 3


def test_the_flow_at_a_late_visit_is_that_of_the_time_in_which_it_delivered(record, line, pump) -> None:
    """Two days' volume, and the visit comes after five: by hand (30 - 0.5 - 26.9) mL in two days."""
    wanted = replace(FLOXURIDINE, vtbi_nl=2_600_000)
    refill(record, Person(withdraw="0"), LineDay(line), wanted, pump)
    line.sleep(5 * DAY_S)
    person = Person(withdraw="26.9mL", patency="free")
    _, procedure = refill(record, person, LineDay(line), wanted, pump)
    assert person.kinds == [{"in_range", "stood_still"}] and "patency" in person.asked
    told = procedure.assessment
    assert told is not None and float(told.flow_nl_per_day) == pytest.approx(1_300_000, rel=0.001)
    assert "no flow in 3.0 of 5.0 days" in [row["text"] for row in record.rows("findings")]
    assert "expected 26.9 mL" in next(text for text in person.texts if "came back" in text)
    assert float(record.rows("readings")[0]["flow_nl_per_day"].split("/")[0]) > 0
    assert procedure.flow_nl_per_day == 1_300_000


def test_a_power_cut_takes_ten_minutes_of_the_time_at_most(record, line, pump) -> None:
    refill(record, Person(withdraw="0"), LineDay(line), pump=pump)
    line.sleep(DAY_S)
    line.core.power(False)
    line.sleep(60)
    line.core.power(True)
    line.sleep(2 * DAY_S)
    pump.hello()
    pump.ack()
    pump.rate("1.3 mL/day", override=True)
    line.sleep(DAY_S)
    person = Person(withdraw="26.9mL", patency="free")
    refill(record, person, LineDay(line), pump=pump)
    assert person.kinds == [{"in_range", "stood_still"}]
    ledger = json.loads(record.rows("readings")[0]["ledger"])
    assert 2 * DAY_S - 700 <= ledger["delivered_s"] <= 2 * DAY_S + 60


def test_a_rate_that_was_changed_at_the_pump_is_not_standing_still(record, line, pump) -> None:
    refill(record, Person(withdraw="0"), LineDay(line), pump=pump)
    line.sleep(DAY_S)
    pump.rate("0.05 mL/day", override=True)
    line.sleep(3 * DAY_S)
    person = Person(withdraw="28.05mL")
    _, procedure = refill(record, person, LineDay(line), pump=pump)
    assert person.kinds == [{"in_range"}] and procedure.state == "done"


def test_what_the_pump_will_not_deliver_is_refused_before_anything_is_filled(record, line, pump) -> None:
    """18.8 mL, of which 0.5 mL are primed and 0.5 mL stay in the pump."""
    wanted = replace(FLOXURIDINE, fill_nl=18_800_000, unusable_nl=500_000, vtbi_nl=18_200_000)
    with pytest.raises(UsageError) as caught:
        begin(record, wanted, pump, LineDay(line))
    assert "0.5 mL are primed, and 0.5 mL stay" in caught.value.what
    assert not record.rows("visits")
    begin(record, replace(wanted, vtbi_nl=17_800_000), pump, LineDay(line))


def test_another_fill_of_the_pump_is_told(record, line, pump) -> None:
    refill(record, Person(withdraw="0"), LineDay(line), pump=pump)
    pump.stop()
    pump.syringe("30 mL", "20 mL")
    person = Person(withdraw="20mL", check_record="20mL", patency="free")
    line.sleep(DAY_S)
    refill(record, person, LineDay(line), pump=pump)
    assert "other_fill" in person.kinds[0]


def test_a_step_that_the_pump_refuses_does_not_hold_a_visit_for_ever(record, line, pump) -> None:
    pump.set_limits(max_rate_nl_per_day=1_000_000)
    visit = begin(record, FLOXURIDINE, pump, LineDay(line))
    with pytest.raises(Refused):
        visit.run(Person(withdraw="0"))
    again = take_up(record, pump, LineDay(line))
    assert again is not None and again.procedure.state == "run"
    again.leave("Eva Lang", "the limit is too low")
    assert record.open_visit() is None and record.check().intact
    assert record.rows("plans")[-1]["rate_nl_per_day"] == 0 and record.rows("fills")[-1]["volume_nl"] == 30_000_000


def test_the_syringe_is_the_one_that_is_in_or_the_smallest_that_holds_the_fill(record, line, pump) -> None:
    visit = begin(record, replace(FLOXURIDINE, fill_nl=28_000_000), pump, LineDay(line))
    assert visit.procedure.plan.syringe_nl == 30_000_000
    visit.leave("Eva", "a test")
    with pytest.raises(UsageError, match="do not fit into a syringe"):
        begin(record, replace(FLOXURIDINE, syringe_nl=20_000_000), pump, LineDay(line))
    with pytest.raises(UsageError):
        begin(record, replace(FLOXURIDINE, syringe_nl=31_000_000), pump, LineDay(line))


def test_left_in_the_middle_the_pump_stays_stopped(record, line, pump) -> None:
    refill(record, Person(withdraw="0", prime_ready="leave"), LineDay(line), pump=pump)
    assert pump.status().state == "stopped" and record.rows("plans")[-1]["rate_nl_per_day"] == 0


def test_a_pump_that_ran_empty_is_refilled(record, line, pump) -> None:
    small = Wanted("saline", Fraction(0), 4_100_000, 1_300_000, syringe_nl=10_000_000)
    small = replace(small, by="Eva Lang")
    refill(record, Person(withdraw="0"), LineDay(line), small, pump)
    pump.rate("50 mL/day", override=True)
    line.sleep(DAY_S / 10)
    assert pump.status().state == "alarm"
    person = Person(withdraw="0.5mL", patency="free")
    _, procedure = refill(record, person, LineDay(line), pump=pump, wanted=small)
    assert person.kinds == [{"dry"}] and procedure.state == "done"
    assert pump.status().state == "infusing"
    assert record.rows("alarms")


@pytest.mark.parametrize("steps", [0, 4, 8, 12])
def test_a_drive_that_meets_its_rear_end_goes_off_it_wherever_the_rotor_falls(record, line, pump, steps) -> None:
    """As after power cuts, whose doubt counts as delivered. With the current off the end switch may open again."""
    refill(record, Person(withdraw="0"), LineDay(line), pump=pump)
    line.sleep(DAY_S / 10)
    line.core.plant.refill(line.core.now_us, volume_nl=30_600_000 + steps * 231)
    person = Person(withdraw="29.4mL", check_record="yes", patency="free", acknowledge="a test")
    _, procedure = refill(record, person, LineDay(line), pump=pump)
    assert procedure.state == "done" and pump.status().state == "infusing"
    assert any("rear end" in text for text in person.texts)


class KilledLine(DirectLine):
    """The computer dies so many lines to the pump later: before this one has left it, or just after."""

    lines_left = 10**9
    after = False

    def write(self, data: bytes) -> None:
        if data.strip() and not data.startswith(b"\n!"):
            self.lines_left -= 1
        if self.lines_left < 0 and not self.after:
            raise Killed
        super().write(data)
        if self.lines_left < 0:
            raise Killed


def killed_visit(line: KilledLine, path, person: dict[str, str]) -> int:
    """A visit by one process after the other, each killed at a line to the pump; how many were."""
    kills = 0
    for lines in range(6, 2_000, 2):
        line.lines_left = lines
        try:
            with make(path) as record, haipump.connect(line) as pump:
                visit = take_up(record, pump, LineDay(line)) or begin(record, FLOXURIDINE, pump, LineDay(line))
                visit.run(Person(**person))
            break
        except Killed:
            kills += 1
    line.lines_left = 10**9
    return kills


@pytest.mark.parametrize("after", [False, True])
def test_killed_at_every_line_to_the_pump_no_step_is_done_twice(tmp_path, after: bool) -> None:
    """Two visits: primed 0.5 mL each, started once each, and the drive goes back once by what had gone."""
    line, path = KilledLine(), tmp_path / "course.sqlite"
    line.after = after
    make(path).close()
    assert killed_visit(line, path, {"withdraw": "0"}) > 5
    where = line.core.plant.truth(line.core.now_us).commanded_steps
    line.sleep(DAY_S / 2)
    assert killed_visit(line, path, {"withdraw": "28.8mL"}) > 5
    there = line.core.plant.truth(line.core.now_us).commanded_steps
    assert abs(there - where) * 231_148 // 1_000 < 25_000, "less than 25 uL apart"
    with haipump.connect(line) as pump, make(path) as record:
        assert record.check().intact and len(record.rows("visits")) == 2
        assert pump.totals().primed_nl == pytest.approx(500_000, abs=20_000)
        assert pump.status().basal_nl_per_day == 1_300_000
        steps = [row["step"] for row in record.rows("confirmations", "visit = 1")]
        assert steps == ["identify", "stop", "drug", "access", "withdraw", "perfusion", "placement", "portion",
                         "portion", "load", "prime_ready", "prime", "start", "run"]  # fmt: skip
        steps = [row["step"] for row in record.rows("confirmations", "visit = 2")]
        assert steps == ["identify", "stop", "drug", "access", "retract", "withdraw", "placement", "portion",
                         "portion", "load", "prime_ready", "prime", "start", "run"]  # fmt: skip
        intents = [json.loads(r["fields"]) for r in record.rows("journal", "name = 'intent' and not restated")]
        assert [one["source"] for one in intents].count(1) == 2, "a rate was started twice, once in each visit"
        loads = record.rows("journal", "name = 'syringe' and not restated")
        assert len(loads) == 2, "loaded once in each visit"


def test_the_error_of_a_pump_on_a_line_does_not_add_to_the_last_one() -> None:
    """Such a pump is compared with its own count: 60 % more than it stepped are 60 % of its rate each time."""
    for has_pump, flow in ((True, 2_080_000), (False, 3_328_000)):
        plan = VisitPlan(
            "floxuridine", Fraction(0), 30_000_000, 1_300_000, Fraction(2_080_000), 14,
            has_pump=has_pump, syringe_nl=30_000_000,
        )  # fmt: skip
        procedure = Procedure(plan)
        told = Interval(30_000_000, 878_400, 14 * 86_400, 1_300_000, 1_300_000)
        procedure.assessment = assess([told], CONSTANT_FLOW)
        assert procedure.flow_nl_per_day == pytest.approx(flow, rel=0.001)
