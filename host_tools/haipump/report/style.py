"""Colours, fonts and the style sheet of a report. Owns: how it looks. Must not: know what it says.

The colours of data are those of Okabe and Ito, told apart with every common kind of colour vision, and in grey.
"""

from __future__ import annotations

from collections.abc import Mapping

PAPER = "#ffffff"
WASH = "#f3f5f7"
GRID = "#e6eaee"
FAINT = "#a9b4be"
MUTED = "#566370"
INK = "#17212b"

COMMANDED = "#56687a"
STEPPED = "#0072b2"
CONFIRMED = "#e08a00"
BOLUS = "#b0508c"
PRESSURE = "#00825f"
RESERVOIR = "#2f8fc4"
GOOD = "#00825f"
WARN = "#b87700"
ALARM = "#c94f00"
UNKNOWN = "#6b7785"

PRIORITIES: Mapping[str, str] = {"high": ALARM, "medium": WARN, "low": STEPPED}
LEVELS: Mapping[str, str] = {"good": GOOD, "warn": WARN, "bad": ALARM, "unknown": UNKNOWN}
STATES: Mapping[str, str] = {
    "infusing": "#0072b2",
    "bolus": "#b0508c",
    "kvo": "#56b4e9",
    "paused": "#e69f00",
    "stopped": "#c8d0d8",
    "refill": "#009e73",
    "priming": "#7fcdb5",
    "withdrawing": "#7fcdb5",
    "moving": "#7fcdb5",
    "alarm": "#c94f00",
    "relieving": "#c94f00",
    "fault": "#8a2f00",
    "self_test": "#8894a0",
    "service": "#8894a0",
}

# Fonts that come with the systems; the report brings none along.
FONTS = '"Avenir Next", "Segoe UI", "Helvetica Neue", Helvetica, Arial, "Liberation Sans", sans-serif'
FONTS_SVG = FONTS.replace('"', "'")

CSS = """
:root { --ink: %(INK)s; --muted: %(MUTED)s; --faint: %(FAINT)s; --grid: %(GRID)s; --wash: %(WASH)s; }
* { box-sizing: border-box; }
html { background: #e9edf0; }
body { font: 15px/1.5 %(FONTS)s; color: var(--ink); margin: 0; -webkit-print-color-adjust: exact;
  print-color-adjust: exact; }
main { max-width: 1280px; margin: 28px auto; background: #fff; padding: 52px 60px 40px; border-radius: 6px;
  box-shadow: 0 1px 3px rgba(23, 33, 43, .16); }
.kicker { text-transform: uppercase; letter-spacing: .14em; font-size: 12px; font-weight: 600; color: var(--muted);
  display: flex; justify-content: space-between; gap: 24px; border-bottom: 2px solid var(--ink); padding-bottom: 10px; }
h1 { font-size: 40px; line-height: 1.14; letter-spacing: -.018em; margin: 26px 0 8px; font-weight: 700;
  max-width: 27em; }
.lead { font-size: 18px; color: var(--muted); margin: 0 0 26px; max-width: 58em; }
h2 { font-size: 20px; letter-spacing: -.005em; margin: 44px 0 10px; padding-top: 14px;
  border-top: 1px solid var(--grid); }
.tiles { display: grid; grid-template-columns: repeat(4, minmax(0, 1fr)); border-top: 1px solid var(--grid);
  border-left: 1px solid var(--grid); margin: 0 0 22px; }
.tile { padding: 15px 18px 13px; border-right: 1px solid var(--grid); border-bottom: 1px solid var(--grid); }
.tile .name { font-size: 12.5px; color: var(--muted); display: flex; align-items: center; gap: 7px; }
.tile .name i { width: 18px; height: 4px; border-radius: 2px; display: inline-block; }
.tile .value { font-size: 31px; line-height: 1.2; font-weight: 700; letter-spacing: -.02em; margin: 3px 0 1px;
  font-variant-numeric: tabular-nums; }
.tile .value small { font-size: 16px; font-weight: 600; letter-spacing: 0; color: var(--muted); }
.tile .value.range { font-size: 22px; line-height: 37px; }
.tile .more { font-size: 12.5px; color: var(--muted); }
.verdict { border-left: 8px solid; padding: 13px 20px; margin: 0 0 16px; background: var(--wash); font-size: 20px;
  font-weight: 650; line-height: 1.35; }
.checks { display: grid; grid-template-columns: repeat(auto-fit, minmax(255px, 1fr)); gap: 9px 26px; margin: 0 0 30px;
  padding: 0; list-style: none; font-size: 13.5px; line-height: 1.4; }
.checks li { display: grid; grid-template-columns: 22px 1fr; gap: 8px; }
.checks b { display: block; font-size: 13.5px; }
.dot { width: 20px; height: 20px; border-radius: 50%%; color: #fff; font-size: 12px; font-weight: 700;
  line-height: 20px; text-align: center; }
figure { margin: 18px 0 6px; break-inside: avoid; }
figure img { width: 100%%; height: auto; display: block; }
figcaption { font-size: 12.5px; color: var(--muted); margin-top: 4px; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 26px; }
table { border-collapse: collapse; width: 100%%; font-size: 13.5px; font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 600; font-size: 12px; color: var(--muted); border-bottom: 1.5px solid var(--ink);
  padding: 6px 14px 6px 0; vertical-align: bottom; }
td { border-bottom: 1px solid var(--grid); padding: 6px 14px 6px 0; vertical-align: top; }
th.n, td.n { text-align: right; }
th:last-child, td:last-child { padding-right: 0; }
td.s, td.n { white-space: nowrap; }
tr { break-inside: avoid; }
tfoot td { font-weight: 700; border-bottom: none; border-top: 1.5px solid var(--ink); }
.bar { display: inline-block; height: 9px; border-radius: 2px; background: %(STEPPED)s; vertical-align: 0; }
.none { color: var(--muted); font-style: italic; }
.tag { display: inline-block; border-radius: 3px; padding: 0 7px; color: #fff; font-size: 12px; font-weight: 600; }
.facts { display: grid; grid-template-columns: 1fr 1fr; gap: 0 44px; font-size: 13px; }
.facts dl { margin: 0; display: grid; grid-template-columns: 150px 1fr; }
.facts dt { color: var(--muted); padding: 4px 0; border-bottom: 1px solid var(--grid); }
.facts dd { margin: 0; padding: 4px 0; border-bottom: 1px solid var(--grid); overflow-wrap: anywhere;
  font-variant-numeric: tabular-nums; }
code { font: 12px/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono", monospace; }
pre { font: 12px/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono", monospace; background: var(--wash);
  padding: 10px 14px; margin: 6px 0 0; max-height: none; white-space: pre-wrap; }
.safety { margin: 34px 0 0; padding: 14px 20px; border: 2px solid %(ALARM)s; color: #8a3600; font-weight: 700;
  font-size: 16px; text-align: center; }
.note { font-size: 12.5px; color: var(--muted); margin: 8px 0 0; }
@media screen and (max-width: 1120px) {
  main { padding: 40px 36px 32px; }
  .tiles { grid-template-columns: repeat(2, minmax(0, 1fr)); } .scroll { overflow-x: auto; }
}
@media screen and (max-width: 820px) {
  main { padding: 26px 20px; margin: 0; border-radius: 0; }
  .pair, .facts { grid-template-columns: 1fr; } h1 { font-size: 29px; }
}
@media print {
  @page { size: A4; margin: 11mm; }
  html, body { background: #fff; font-size: 11.5px; }
  main { box-shadow: none; margin: 0; padding: 0; max-width: none; }
  h1 { font-size: 27px; margin-top: 14px; } .lead { font-size: 13px; margin-bottom: 14px; }
  h2 { break-after: avoid; margin-top: 22px; font-size: 15px; }
  .tile { padding: 8px 10px; } .tile .value { font-size: 20px; }
  .tile .value.range { font-size: 14px; line-height: 24px; }
  .tile .value small { font-size: 11px; }
  .tile .name, .tile .more, .checks, .checks b, figcaption, .note { font-size: 9.5px; }
  .verdict { font-size: 14px; padding: 8px 14px; margin-bottom: 10px; } .checks { margin-bottom: 10px; gap: 6px 16px;
  grid-template-columns: repeat(4, 1fr); } .checks li { grid-template-columns: 16px 1fr; gap: 6px; }
  .dot { width: 15px; height: 15px; line-height: 15px; font-size: 9px; }
  table, .facts { font-size: 9.5px; } th { font-size: 9px; } td, th { padding: 3px 9px 3px 0; }
  .tag, code, pre { font-size: 8.5px; } pre { padding: 6px 10px; line-height: 1.35; break-inside: avoid; }
  .facts { gap: 0 26px; } .facts dl { grid-template-columns: 105px 1fr; } .facts dt, .facts dd { padding: 1.5px 0; }
  .safety { font-size: 12px; padding: 8px; margin-top: 16px; }
}
""" % {name: value for name, value in globals().items() if isinstance(value, str)}
