"""The documents: no dead link, no stale generated page, every decision listed, the sentence that must be there."""

import re

import pytest

from tests.arch import links, tree
from tools import gendocs

PAGES = [path for path in tree.texts() if path.suffix == ".md"]
SAFETY = "never to be connected to a person"


@pytest.mark.parametrize("path", PAGES, ids=tree.shown)
def test_links_lead_somewhere(path):
    assert links.dead_links(path) == []


@pytest.mark.parametrize("name", gendocs.PAGES)
def test_generated_pages_are_up_to_date(name):
    assert (tree.ROOT / name).read_text(encoding="utf-8") == gendocs.render(name), "run `make docs`"


def test_the_readme_says_what_the_pump_is_not_for():
    text = " ".join((tree.ROOT / "README.md").read_text(encoding="utf-8").split())
    assert SAFETY in text


def test_the_readme_names_only_targets_that_make_has():
    makefile = (tree.ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.M))
    for path in PAGES:
        named = set(re.findall(r"`make ([a-z-]+)", path.read_text(encoding="utf-8")))
        assert named <= targets, tree.shown(path)


def test_every_target_has_a_line_of_help():
    makefile = (tree.ROOT / "Makefile").read_text(encoding="utf-8")
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.M)
    assert phony
    assert set(phony.group(1).split()) == set(re.findall(r"^([a-z-]+):.*## ", makefile, re.M))


def test_decisions_are_numbered_and_listed():
    folder = tree.ROOT / "docs" / "adr"
    records = sorted(path.name for path in folder.glob("[0-9]*.md"))
    assert [int(name[:4]) for name in records] == list(range(1, len(records) + 1))
    assert set(links.targets(folder / "README.md")) >= set(records)


@pytest.mark.parametrize(
    ("text", "dead"),
    [
        ("[a](there.md)", 0),
        ("[a](there.md#a-heading)", 0),
        ("[a](there.md#twice-1)", 0),
        ("[`a`](#here)\n\n# Here", 0),
        ("[a](https://example.org/x) and `[a](gone.md)`", 0),
        ("```\n[a](gone.md)\n```", 0),
        ("[a](gone.md)", 1),
        ("![a](gone.png)", 1),
        ("[`a`](gone.md)", 1),
        ("[a](there.md#no-heading)", 1),
        ("[a](#gone)", 1),
        ("[a]: gone.md", 1),
    ],
)
def test_dead_links_are_found(tmp_path, text, dead):
    (tmp_path / "there.md").write_text("# A `heading`\n\n## Twice\n\n## Twice\n")
    page = tmp_path / "page.md"
    page.write_text(text + "\n")
    assert len(links.dead_links(page)) == dead


def test_a_stale_page_is_found(monkeypatch):
    before = gendocs.render("docs/settings.md")
    options = gendocs.options
    monkeypatch.setattr(
        options, "OPTIONS", ((*options.OPTIONS[0][:3], 1, *options.OPTIONS[0][4:]), *options.OPTIONS[1:])
    )
    assert gendocs.render("docs/settings.md") != before
