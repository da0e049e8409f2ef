"""Every key of a TOML text is found on its line."""

import tomllib

import pytest

from haipump_emulator.scenario.locate import line_of, locate, path_text

TEXT = (
    '''# a comment with = and [brackets]
title = "a # in a text"
[scenario] # behind a header
name = """
three
"quotes" and \\""" escaped"""
list = [ 1, # one
  "two]",
  { deep = [ 'x', { deeper = 3 } ] },
]
"quoted key"."and [another]" = 1
plain.dotted = 07:32:00

[plant.syringe]
size_ml = 30
[[timeline]]
at = "1s"
[[timeline]]
at = "2s"; '''.replace("; ", "\n")
    + '''expect = { alarm = "occlusion", within = "20min" }
[timeline.more]
a = \'\'\'it's''\'\'\'
b = true
[[timeline.inner]]
x = 1
[[timeline.inner]]
x = -2.5e3
[[timeline]]
at = "3s"'''
)


def paths(value, path=()):
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from paths(inner, (*path, key))


def test_every_path_of_the_text_has_a_place():
    places = locate(TEXT)
    assert set(paths(tomllib.loads(TEXT))) <= set(places)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (("title",), 'title = "a #'),
        (("scenario",), "[scenario] #"),
        (("scenario", "name"), 'name = """'),
        (("scenario", "list", 1), '"two]"'),
        (("scenario", "list", 2, "deep", 1, "deeper"), "{ deep = "),
        (("scenario", "quoted key", "and [another]"), '"quoted key"'),
        (("scenario", "plain", "dotted"), "plain.dotted"),
        (("plant", "syringe", "size_ml"), "size_ml"),
        (("timeline", 1, "expect", "within"), "expect = "),
        (("timeline", 1, "more", "b"), "b = true"),
        (("timeline", 1, "inner", 1, "x"), "x = -2.5e3"),
        (("timeline", 2, "at"), 'at = "3s"'),
    ],
)
def test_the_place_is_the_right_one(path, found):
    line = locate(TEXT)[path]
    assert TEXT.splitlines()[line - 1].lstrip().startswith(found)


def test_a_missing_key_is_placed_at_what_is_around_it():
    places = locate(TEXT)
    assert line_of(places, ("timeline", 2, "expect", "within")) == places[("timeline", 2)]
    assert line_of(places, ("nowhere",)) == 1


def test_paths_are_shown_as_people_count():
    assert path_text(("timeline", 2, "expect", "within")) == "timeline[3].expect.within"
