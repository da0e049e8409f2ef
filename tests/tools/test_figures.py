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
        {"name": "speed", "value": 150.0, "unit": "x", "bar": 100, "reached": True},
        {"name": "drift", "value": 2, "unit": "nL", "bar": 0, "reached": False},
        {"name": "size", "value": 12_345, "unit": "B", "bar": None, "reached": None},
        {"name": "broken", "value": None, "unit": "x", "bar": 1, "reached": False},
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


def test_names_are_unique_and_known(registry):
    with pytest.raises(ValueError, match="two figures"):
        registry.figure("speed", "again", "x")(lambda: 1)
    with pytest.raises(ValueError, match="no figure is called nonsense; there are speed"):
        registry.select(["nonsense"])


@pytest.mark.parametrize(
    ("value", "text"), [(None, "failed"), (0, "0"), (30_000.4, "30,000"), (0.51234, "0.5123"), (12, "12"), (1.5, "1.5")]
)
def test_numbers_are_readable(value, text):
    assert figures.number(value) == text
