"""The report of a run: one self-contained HTML page and its pictures, made from a run file and nothing else.

    from haipump.report import write_report

    write_report(Path("run.sqlite"), Path("report.html"))

Owns: `write_report`. Must not: import matplotlib before a report is asked for (`haipump` starts with this package).

The same file makes the same report, byte for byte: nothing here reads a clock, a locale or the machine's fonts.
"""

from __future__ import annotations

from pathlib import Path


def write_report(run_path: Path | str, html_path: Path | str) -> list[Path]:
    """Write the page to `html_path` and its pictures beside it as PNG; what was written, the page first. Raises
    UsageError when `run_path` is no run file, or holds nothing to report."""
    from haipump.report.page import render

    page = Path(html_path)
    html, pictures = render(Path(run_path))
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(html, encoding="utf-8", newline="\n")
    written = [page]
    for name, data in pictures.items():
        path = page.with_name(f"{page.stem}-{name}.png")
        path.write_bytes(data)
        written.append(path)
    return written
