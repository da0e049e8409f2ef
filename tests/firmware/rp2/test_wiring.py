"""The wiring page and its drawing say what the pin table says."""

import re
from xml.etree import ElementTree

import pytest

from haipump_fw.core import options
from haipump_fw.ports.rp2 import pins
from tools import wiring


@pytest.mark.parametrize("path", wiring.PAGES, ids=lambda path: path.name)
def test_what_is_checked_in_is_what_the_table_gives(path):
    assert path.read_text(encoding="utf-8") == wiring.PAGES[path](), "run: python -m tools.wiring"


def test_every_pin_is_in_the_table_with_its_contact():
    rows = {line.split("|")[3].strip(" `"): line for line in wiring.pin_table().splitlines()[2:]}
    assert rows.keys() == {row[pins.NAME] for row in pins.PINS} == wiring.USES.keys()
    # Contacts of the Pico that everybody knows: GP2 is 4, GP15 20, GP16 21, GP26 31, GP27 32.
    contacts = {
        name: rows[name].split("|")[2].strip() for name in ("step", "green", "piezo", "pressure", "encoder", "vsys")
    }
    assert contacts == {"step": "4", "green": "20", "piezo": "21", "pressure": "31", "encoder": "32", "vsys": "-"}


def test_the_drawing_is_a_picture_that_names_every_pin_on_the_edge():
    picture = ElementTree.fromstring(wiring.drawing())
    words = " ".join(picture.itertext())
    assert picture.tag.endswith("svg")
    assert "never for a person" in words
    for gpio in (row[pins.GPIO] for row in pins.PINS):
        if wiring.board_pin(gpio) != "-":
            assert f"GP{gpio}" in words
    for name in ("back", "front", "captured", "pressure", "encoder"):
        assert re.search(rf"GP{pins.gpio(name)}\b", words)


def test_the_pressures_of_the_page_fit_the_settings():
    page = wiring.PAGE.read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) kPa.*\| ([\d,]+) \|$", page, re.MULTILINE)
    assert len(rows) == 5
    shipped = options.defaults()
    for kpa, raw in rows:
        pa = (int(raw.replace(",", "")) - shipped["pressure_zero_raw"]) * shipped["pressure_full_pa"]
        assert abs(pa / shipped["pressure_span_raw"] - 1000 * int(kpa)) < 100
    assert "never be connected to a person" in page
