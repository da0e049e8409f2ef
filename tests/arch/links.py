"""Links in Markdown: where they lead, and whether that exists.

Owns: reading Markdown as far as links and headings need it. Must not: open a network connection; links to other sites
are not looked at.
"""

import re
from pathlib import Path

from tests.arch.tree import shown

LINK = re.compile(r"!?\[[^\]]*\]\(<?([^)\s>]+)>?[^)]*\)|^\[[^\]]+\]:\s*(\S+)|<img[^>]+src=\"([^\"]+)\"", re.M)
FENCE = re.compile(r"^(```|~~~).*?^\1", re.M | re.S)
CODE = re.compile(r"`[^`\n]*`")
HEADING = re.compile(r"^#+\s+(.*?)\s*$", re.M)
ELSEWHERE = re.compile(r"^[a-z][a-z0-9+.-]*:")


def prose(text: str) -> str:
    """The text without code."""
    return CODE.sub("", FENCE.sub("", text))


def anchors(text: str) -> set[str]:
    """The fragments that a page's headings make, numbered when they repeat, as repository hosts do it."""
    found: set[str] = set()
    for heading in HEADING.findall(FENCE.sub("", text)):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        base = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        anchor, count = base, 0
        while anchor in found:
            count += 1
            anchor = f"{base}-{count}"
        found.add(anchor)
    return found


def targets(path: Path) -> list[str]:
    """What the page links to, other sites left out. A link whose text is code counts too."""
    text = re.sub(r"\[`([^`\]]*)`\]", r"[\1]", FENCE.sub("", path.read_text(encoding="utf-8")))
    links = [next(filter(None, match)) for match in LINK.findall(prose(text))]
    return [link for link in links if not ELSEWHERE.match(link)]


def dead_links(path: Path) -> list[str]:
    """Links to files or headings that do not exist."""
    found = []
    for link in targets(path):
        name, _, fragment = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        if not target.exists():
            found.append(f"{shown(path)} links to {link}, which does not exist")
        elif fragment and target.suffix == ".md" and fragment not in anchors(target.read_text(encoding="utf-8")):
            found.append(f"{shown(path)} links to {link}: no such heading")
    return found
