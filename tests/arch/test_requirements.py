"""Requirements: every row that applies names its code and has a test, every tag a row, every hazard its proofs."""

from tools.traceability import hazards, pages, tags
from tools.traceability.model import NO, YES, Requirement

COVERED_BAR = 90


def test_every_requirement_is_met_somewhere_and_has_a_test():
    assert pages.faults(pages.ROWS, tags.tags()) == []


def test_a_hundred_and_four_were_looked_at_and_all_accidents():
    assert len([row for row in pages.ROWS if row.id[0] == "A"]) == 25
    assert len([row for row in pages.ROWS if row.id[0] == "R" and not row.id.startswith("REQ")]) == 12
    assert len(pages.PUBLISHED) == 104


def test_every_control_of_a_hazard_is_a_requirement_with_code_and_tests():
    tagged = tags.tags()
    known = {row.id for row in pages.ROWS if pages.verdict(row, tagged.get(row.id, ())) == pages.COVERED}
    for hazard in hazards.HAZARDS:
        for what, ids in hazard.controls:
            assert ids and set(ids) <= known, f"{hazard.id}: {what}"


def faults(row: Requirement, *tests: str) -> list[str]:
    return pages.faults([row], {row.id: list(tests)} if tests else {})


def test_a_row_that_is_not_what_it_says_is_found():
    where = ("core.machine.Machine.fire",)
    assert faults(Requirement("X", "is met", where), "tests/x.py::test") == []
    assert faults(Requirement("X", "is met", where)) == ["X has no test"]
    assert faults(Requirement("X", "is met"), "tests/x.py::test") == ["X names no function"]
    assert "does not exist" in faults(Requirement("X", "is met", ("core.machine.Machine.gone",)), "tests/x.py::test")[0]
    assert faults(Requirement("X", "is met", open="the sensor is on its way")) == []
    assert faults(Requirement("X", "is met", open="")) == ["X names no function", "X has no test"]
    assert faults(Requirement("X", "is met", where, open="it is late"), "tests/x.py::test") == [
        "X is covered: it is not open any more"
    ]
    assert faults(Requirement("X", "is not met", applies=NO)) == ["X applies no, and does not say why"]
    assert faults(Requirement("X", "is not met", where, "because", NO)) == ["X does not apply, but has code or tests"]
    assert pages.faults([], {"X": ["tests/x.py::test"]}) == ["tests/x.py::test carries X, which is no requirement"]
    assert faults(Requirement("X", "is met", open=" ")) == ["X is open, and does not say why"]
    twice = Requirement("X", "is met", open="it is late")
    assert pages.faults([twice, twice], {}) == ["X is in the table twice"]


def test_tags_are_read_from_functions_and_methods(tmp_path):
    (tmp_path / "tests").mkdir()
    mark = '@pytest.mark.requirement("B", "A")\n'
    (tmp_path / "tests" / "test_x.py").write_text(
        f"import pytest\n{mark}def test_one():\n    pass\n"
        f"class TestIt:\n    {mark}    def test_two(self):\n        pass\n"
    )
    both = ["tests/test_x.py::TestIt::test_two", "tests/test_x.py::test_one"]
    assert tags.tags(tmp_path) == {"A": both, "B": both}


def test_most_of_what_is_published_is_covered():
    tagged = tags.tags()
    verdicts = [pages.verdict(row, tagged.get(row.id, ())) for row in pages.PUBLISHED]
    assert verdicts.count(pages.COVERED) >= COVERED_BAR
    accidents = [pages.verdict(row, tagged.get(row.id, ())) for row in pages.ROWS if row.id[0] in "A"]
    assert set(accidents) == {pages.COVERED}
    assert {row.applies for row in pages.ROWS} > {YES, NO}
