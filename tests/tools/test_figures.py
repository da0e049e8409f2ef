"""The frame of the bench: judging, selecting, printing, writing."""

import io
import json

import pytest

from tools import figures


@pytest.fixture
def registry():
    registry = figures.Registry()

    @registry.figure("speed", "how fast", "x", figures.AT_LEAST, 100)
    def speed():
        return 150.0

    @registry.figure("drift", "how far off", "nL", figures.AT_MOST, 0)
    def drift():
        return 2

    @registry.figure("size", "how big", "B")
    def size():
        return 12_345

    @registry.figure("broken", "how broken", "x", figures.AT_MOST, 1)
    def broken():
        raise RuntimeError("no pump")

    return registry


def rows(path):
    return {row["name"]: row for row in json.loads(path.read_text())}


def test_a_run_writes_and_judges_every_figure(registry, tmp_path, capsys):
    path = tmp_path / "build" / "bench.json"
    assert figures.run(registry, path, stream=io.StringIO()) == 1
    assert json.loads(path.read_text()) == [
        {"name": "speed", "value": 150.0, "unit": "x", "bar": 100, "reached": True, "note": ""},
        {"name": "drift", "value": 2, "unit": "nL", "bar": 0, "reached": False, "note": ""},
        {"name": "size", "value": 12_345, "unit": "B", "bar": None, "reached": None, "note": ""},
        {"name": "broken", "value": None, "unit": "x", "bar": 1, "reached": False, "note": ""},
    ]
    assert "no pump" in capsys.readouterr().err


def test_the_bar_itself_is_reached(registry):
    for relation in (figures.AT_MOST, figures.AT_LEAST):
        assert figures.Measurement("n", "w", "u", relation, 5, lambda: 5).take().reached is True


def test_only_measures_the_named_and_keeps_the_rest(registry, tmp_path):
    path = tmp_path / "bench.json"
    path.write_text(json.dumps([{"name": "drift", "value": 0, "unit": "nL", "bar": 0, "reached": True}]))
    assert figures.run(registry, path, ["speed", "size"], stream=io.StringIO()) == 0
    assert list(rows(path)) == ["drift", "speed", "size"]
    assert rows(path)["drift"]["value"] == 0


def test_a_full_run_forgets_what_is_no_longer_measured(registry, tmp_path, capsys):
    path = tmp_path / "bench.json"
    path.write_text(json.dumps([{"name": "old", "value": 0, "unit": "x", "bar": 0, "reached": True}]))
    figures.run(registry, path, stream=io.StringIO())
    assert "old" not in rows(path)


def test_the_table_shows_value_bar_and_verdict(registry):
    stream = io.StringIO()
    chosen = registry.select(["speed", "drift"])
    figures.show(chosen, [measurement.take() for measurement in chosen], stream)
    speed, drift = (line for line in stream.getvalue().splitlines() if "how" in line)
    assert "150" in speed and ">= 100" in speed and "reached" in speed
    assert "2" in drift and "<= 0" in drift and "missed" in drift


def test_what_a_machine_lacks_is_told_and_misses_no_bar(tmp_path):
    registry = figures.Registry()

    @registry.figure("other", "against another", "x", figures.AT_LEAST, 1.3)
    def other():
        raise figures.NotMeasured("node is missing: install it")

    stream = io.StringIO()
    assert figures.run(registry, tmp_path / "bench.json", stream=stream) == 0
    row = rows(tmp_path / "bench.json")["other"]
    assert (row["value"], row["reached"]) == (None, None)
    assert row["note"] == "not measured, because node is missing: install it"
    assert "against another: not measured, because node is missing: install it" in stream.getvalue()


def test_a_note_is_shown_below_the_table_and_its_value_is_judged(tmp_path):
    registry = figures.Registry()
    registry.figure("ratio", "ratio", "x", figures.AT_LEAST, 2)(lambda: figures.Noted(1.5, "3 rounds [of 3]"))
    stream = io.StringIO()
    assert figures.run(registry, tmp_path / "bench.json", stream=stream) == 1
    assert stream.getvalue().splitlines()[-1] == "ratio: 3 rounds [of 3]"


def test_names_are_unique_and_known(registry):
    with pytest.raises(ValueError, match="two figures"):
        registry.figure("speed", "again", "x")(lambda: 1)
    with pytest.raises(ValueError, match="no figure is called nonsense; there are speed"):
        registry.select(["nonsense"])


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (30_000.4, "30,000"), (0.51234, "0.5123"), (12, "12"), (1.5, "1.5")]
)
def test_numbers_are_readable(value, text):
    assert figures.number(value) == text
