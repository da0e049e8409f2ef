"""What every page says, and how text becomes HTML. Owns: `SAFETY`, `esc`. Must not: import numpy or matplotlib."""

from __future__ import annotations

import html

SAFETY = "Bench and teaching equipment, never to be connected to a person."


def esc(text: object) -> str:
    """Text as HTML."""
    return html.escape(str(text))
