"""Adjustment: every cell of both tables just below, at and just above its bound; references, holds, restarts."""

from __future__ import annotations

from datetime import date
from fractions import Fraction as F

import pytest

from haipump.errors import CourseFileError, UsageError
from haipump.therapy import adjust, rules

DAY = date(2027, 2, 8)
PLANNED = F("0.12")
FLOYD, MSKCC = rules.pick("floyd-2006"), rules.pick("mskcc-type")
BASE = {"ast": F(30), "alp": F(80), "bilirubin": F("0.5")}
UPPER = {"alp": F(120), "bilirubin": F("1.2")}
EPSILON = F(1, 10**9)


def decide(sets, before: adjust.Before = adjust.NOTHING_BEFORE, base=None, **values) -> adjust.Decision:
    """With values that change nothing where none are given."""
    given = {"ast": [F(30)], "alp": [F(60)], "bilirubin": [F("0.5")]}
    given |= {test: value if isinstance(value, list) else [value] for test, value in values.items()}
    return adjust.decide(sets, given, base or BASE, UPPER, PLANNED, DAY, before)


# The MSKCC-type table. test, reference, [(multiple, percent from there on)]
MSKCC_TABLE = [
    ("ast", "50", [("3", 80), ("4", 50), ("5", 0)]),
    ("ast", "50.001", [("2", 80), ("3", 50), ("4", 0)]),
    ("ast", "12", [("3", 80), ("4", 50), ("5", 0)]),
    ("ast", "200", [("2", 80), ("3", 50), ("4", 0)]),
    ("alp", "90", [("1.5", 50), ("2", 0)]),
    ("alp", "90.001", [("1.2", 50), ("1.5", 0)]),
    ("bilirubin", "1.2", [("1.5", 50), ("2", 0)]),
    ("bilirubin", "1.20001", [("1.2", 50), ("1.5", 0)]),
]
# Floyd 2006, as told by a review: "3x baseline -> 50 %", ">3x none": the hold begins above 3, every other bound at it.
FLOYD_TABLE = [
    ("alp", "120", [("1.2", 80), ("1.5", 50), ("2", 0)]),
    ("bilirubin", "1.2", [("1.2", 80), ("1.5", 50), ("2", 0)]),
]


def boundaries(table):
    """(test, reference, value, percent) just below, at and just above each bound."""
    for test, reference, steps in table:
        percent = 100
        for times, share in steps:
            bound = F(times) * F(reference)
            yield test, reference, bound - EPSILON, percent
            yield test, reference, bound, share
            yield test, reference, bound + EPSILON, share
            percent = share


@pytest.mark.parametrize(("test", "reference", "value", "percent"), list(boundaries(MSKCC_TABLE)))
def test_every_bound_of_the_mskcc_type(test: str, reference: str, value: F, percent: int) -> None:
    made = decide(MSKCC, base=BASE | {test: F(reference)}, **{test: value})
    assert made.percent == percent
    assert made.hold == (percent == 0) == bool(made.held_by)
    assert made.dose_mg_per_kg_day == PLANNED * percent / 100


@pytest.mark.parametrize(("test", "reference", "value", "percent"), list(boundaries(FLOYD_TABLE)))
def test_every_bound_of_floyd(test: str, reference: str, value: F, percent: int) -> None:
    made = decide(FLOYD, **{test: value})
    assert made.percent == percent
    assert made.dose_mg_per_kg_day == PLANNED * percent / 100


@pytest.mark.parametrize(("value", "percent"), [(90 - EPSILON, 100), (F(90), 50), (90 + EPSILON, 0), (F(900), 0)])
def test_floyds_transaminases(value: F, percent: int) -> None:
    assert decide(FLOYD, ast=value).percent == percent


def test_the_tables_have_no_other_cells() -> None:
    """The bounds above are all that the data has."""
    for found, table in ((MSKCC, MSKCC_TABLE[:2] + MSKCC_TABLE[4:]), (FLOYD, FLOYD_TABLE)):
        rows = [row for row in found.rows if found is MSKCC or row.test != "ast"]
        assert [[(step.times, step.percent) for step in row.steps] for row in rows] == [
            [(F(times), share) for times, share in steps] for _, _, steps in table
        ]
    assert [(step.times, step.strictly, step.percent) for step in FLOYD.rows[0].steps] == [(3, False, 50), (3, True, 0)]


@pytest.mark.parametrize("sets", [FLOYD, MSKCC], ids=lambda one: one.id)
def test_each_reference_has_exactly_one_row(sets) -> None:
    for test in BASE:
        for reference in (F(1, 10), F("1.2"), F("1.2") + EPSILON, F(50), 50 + EPSILON, F(90), 90 + EPSILON, F(5000)):
            assert len([row for row in sets.rows if row.test == test and row.holds_for(reference)]) == 1


def test_the_worst_row_wins_and_is_named() -> None:
    made = decide(MSKCC, ast=F(95), alp=F(130), bilirubin=F("0.6"))
    assert made.percent == 50 and made.reasons[-1] == "the worst row wins: ALP"
    assert [one.percent for one in made.findings] == [80, 50, 100]
    assert "AST 95 U/L is 3.17 x the reference of 30 U/L: 80 %" in made.reasons


def test_the_higher_of_two_values_counts() -> None:
    for values in ([F(95), F(40)], [F(40), F(95)]):
        assert decide(MSKCC, ast=values).percent == 80
        assert decide(MSKCC, ast=values).values_at_dose["ast"] == values[-1]


def test_a_ratio_beside_its_bound_is_not_shown_as_the_bound() -> None:
    made = decide(MSKCC, ast=F("89.9999"))
    assert made.percent == 100 and "is 2.999997 x" in made.reasons[0]
    assert "is 3 x" in decide(MSKCC, ast=F(90)).reasons[0]


# --- reference


def test_the_reference_is_the_value_at_the_last_dose_never_below_the_baseline() -> None:
    before = adjust.Before(PLANNED, {"ast": F(60), "alp": F(70), "bilirubin": F("0.5")})
    made = decide(MSKCC, before, ast=F(119), alp=F(119))
    assert [one.compared_with for one in made.findings[:2]] == [60, 80]
    assert made.percent == 100 and "value at the last dose of 60 U/L" in made.reasons[0]
    assert decide(MSKCC, before, ast=F(120)).percent == 80  # a reference above 50: 2x already
    assert decide(FLOYD, before, ast=F(119)).findings[0].compared_with == 30  # here it is the baseline


def test_percent_is_of_the_last_or_of_the_planned_dose() -> None:
    before = adjust.Before(PLANNED / 2, {})
    assert decide(MSKCC, before, ast=F(95)).dose_mg_per_kg_day == PLANNED / 2 * F(80, 100)
    assert decide(MSKCC, before).dose_mg_per_kg_day == PLANNED / 2  # 100 % of the last one
    assert decide(FLOYD, before, alp=F(150)).dose_mg_per_kg_day == PLANNED * F(80, 100)
    assert decide(MSKCC, adjust.Before(2 * PLANNED, {})).dose_mg_per_kg_day == PLANNED  # the plan was lowered since


# --- holds and restarts


@pytest.mark.parametrize(
    ("test", "reference", "times", "percent"),
    [
        ("ast", "30", "4", 50), ("ast", "60", "3", 50), ("alp", "80", "1.5", 25), ("alp", "100", "1.2", 25),
        ("bilirubin", "0.8", "1.5", 25), ("bilirubin", "1.3", "1.2", 25),
    ],
)  # fmt: skip
def test_every_restart_of_the_mskcc_type(test: str, reference: str, times: str, percent: int) -> None:
    before = adjust.Before(PLANNED, {}, (test,))
    base = BASE | {test: F(reference)}
    bound = F(times) * F(reference)
    for value in (bound, bound + EPSILON):
        made = decide(MSKCC, before, base, **{test: value})
        assert made.hold and made.held_by == (test,) and not made.restart
    made = decide(MSKCC, before, base, **{test: bound - EPSILON})
    assert (made.percent, made.restart, made.held_by) == (percent, True, ())
    assert made.dose_mg_per_kg_day == PLANNED * percent / 100


def test_the_hold_says_what_it_waits_for() -> None:
    made = decide(MSKCC, adjust.Before(PLANNED, {}, ("ast",)), ast=F(130))
    assert made.findings[0].percent == 50 and made.hold
    assert made.reasons[-1] == "the hold goes on until AST is below 120 U/L (4 x)"


@pytest.mark.parametrize(
    ("sets", "last", "restart", "values", "percent"),
    [
        (FLOYD, "0.06", 50, {}, 50),  # and not 100
        (FLOYD, "0.06", 50, {"alp": F(150)}, 50),  # and not 80
        (FLOYD, "0.06", 50, {"alp": F(200)}, 50),
        (FLOYD, "0.09", 50, {}, 50),  # the plan was lowered since
        (FLOYD, "0.03", 50, {}, 25),  # other rules since: never above what the restart gave
        (MSKCC, "0.03", 25, {}, 100),  # of the last dose
        (MSKCC, "0.03", 25, {"ast": F(95)}, 80),
    ],
)  # fmt: skip
def test_nothing_rises_above_a_restart_that_was_not_given(sets, last: str, restart: int, values, percent: int) -> None:
    made = decide(sets, adjust.Before(F(last), {}, (), restart), **values)
    assert (made.percent, made.restart, made.held_by) == (percent, True, ())
    assert made.dose_mg_per_kg_day <= F("0.06")
    assert ("until the drug has been given" in made.reasons[-1]) == (
        percent < 100 and sets is FLOYD and values != {"alp": F(200)}
    )


def test_a_hold_ends_a_restart_that_was_not_given() -> None:
    made = decide(FLOYD, adjust.Before(F("0.06"), {}, (), 50), ast=F(100))
    assert made.hold and not made.restart


def test_the_reason_of_a_hold_is_the_row_that_decided() -> None:
    held = decide(FLOYD, ast=F(107))
    assert adjust.what_holds(held.reasons) == "AST 107 U/L is 3.57 x the reference of 30 U/L: hold"
    both = adjust.what_holds(decide(FLOYD, ast=F(107), alp=F(240), bilirubin=F(3)).reasons)
    assert both.startswith("AST 107") and "ALP 240" in both and both.endswith("until bilirubin is normal")
    on = decide(MSKCC, adjust.Before(PLANNED, {}, ("ast",)), ast=F(130))
    assert adjust.what_holds(on.reasons) == "the hold goes on until AST is below 120 U/L (4 x)"


def test_the_smallest_restart_counts() -> None:
    assert decide(MSKCC, adjust.Before(PLANNED, {}, ("ast", "alp"))).percent == 25
    assert decide(MSKCC, adjust.Before(PLANNED, {}, ("ast",)), alp=F(119)).percent == 50


def test_one_test_still_holds_when_another_is_back() -> None:
    made = decide(MSKCC, adjust.Before(PLANNED, {}, ("ast", "alp")), alp=F(121))
    assert made.hold and made.held_by == ("alp",)


def test_a_hold_on_top_of_a_hold_remembers_both() -> None:
    made = decide(MSKCC, adjust.Before(PLANNED, {}, ("alp",)), ast=F(200), alp=F(121))
    assert made.hold and made.held_by == ("alp", "ast")


@pytest.mark.parametrize("sets", [FLOYD, MSKCC], ids=lambda one: one.id)
@pytest.mark.parametrize(("value", "due"), [(3 - EPSILON, False), (F(3), True), (3 + EPSILON, True)])
def test_bilirubin_from_3_mg_per_dl_on_asks_for_imaging(sets, value: F, due: bool) -> None:
    # with a reference of 2.8 no row of the MSKCC type would hold it
    made = decide(sets, base=BASE | {"bilirubin": F("2.8")}, bilirubin=value)
    assert made.imaging == due == (adjust.IMAGING in made.held_by)
    assert made.hold or not due
    assert due == any("imaged" in reason for reason in made.reasons)


@pytest.mark.parametrize(("value", "hold"), [(F("1.2"), False), (F("1.2") + EPSILON, True)])
def test_after_imaging_bilirubin_has_to_be_normal(value: F, hold: bool) -> None:
    base = BASE | {"bilirubin": F("1.1")}
    made = decide(MSKCC, adjust.Before(PLANNED, {}, (adjust.IMAGING,)), base, bilirubin=value)
    assert made.hold == hold and made.percent == (0 if hold else 25)


# --- what is missing


def test_all_three_tests_are_needed() -> None:
    for test in ("ast", "alp", "bilirubin"):
        with pytest.raises(UsageError, match="is missing"):
            decide(MSKCC, **{test: []})
    with pytest.raises(UsageError, match="there are 3 values"):
        decide(MSKCC, ast=[F(1), F(2), F(3)])


def test_what_values_are_compared_with_is_needed() -> None:
    with pytest.raises(UsageError, match=r"patient\.reference"):
        adjust.decide(MSKCC, {test: [F(1)] for test in BASE}, {"ast": F(1)}, UPPER, PLANNED, DAY)
    with pytest.raises(UsageError, match=r"patient\.upper_limit"):
        adjust.decide(FLOYD, {test: [F(1)] for test in BASE}, BASE, {}, PLANNED, DAY)


# --- the data


def test_the_sets_say_what_they_are_worth() -> None:
    assert next(iter(rules.load())) == "floyd-2006"
    assert "UNVERIFIED" in MSKCC.status and "the paper itself was not read" in FLOYD.status
    with pytest.raises(UsageError, match="mskcc-type"):
        rules.pick("mskcc")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("{ from = 5, percent = 0 }", "{ from = 5, percent = 10 }", "rise to a hold"),
        ("{ from = 3, percent = 80 }, { from = 4", "{ from = 4.5, percent = 80 }, { from = 4", "rise to a hold"),
        ('default = "floyd-2006"', 'default = "floyd"', "did you mean"),
        ('test = "ast"', 'test = "alt"', "not known"),
        ("restart_below = 4", "restart_belwo = 4", "did you mean"),
    ],
)
def test_damaged_tables_are_refused(old: str, new: str, said: str) -> None:
    from importlib import resources

    text = (resources.files("haipump.therapy") / "rules.toml").read_text(encoding="utf-8")
    assert old in text
    with pytest.raises(CourseFileError) as caught:
        rules.parse(text.replace(old, new))
    assert any(said in f"{one['what']} {one['next_step']}" for one in caught.value.problems)
