"""What was ordered, in words. Owns: headline and sentences about orders. Must not: work out facts or know HTML."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from haipump.programme import Item
from haipump.protocol import help as texts
from haipump.quantities import SECONDS_PER_DAY, format_duration, format_duration_short, format_rate, format_volume
from haipump.report.orders import Order, fits
from haipump.report.story import Story


def headline(story: Story) -> str:
    """What was ordered, in one line."""
    dose = [order for order in story.orders if order.dose]
    if not dose:
        return "Nothing was ordered"
    if len(dose) == 1:
        return order_words(story, dose[0])
    if len(dose) == 2:
        first, second = (order_words(story, order) for order in dose)
        return f"{first}, and {second[:1].lower() + second[1:] if second[1:2].islower() else second}"
    kinds: dict[str, int] = {}
    for order in dose:
        kinds[order.source] = kinds.get(order.source, 0) + 1
    rows = [f"{count} × {texts.SOURCES.get(kind, kind)}" for kind, count in kinds.items()]
    return f"{len(dose)} orders: {', '.join(rows)}"


def programme_of(story: Story, order: Order) -> Mapping[str, Any] | None:
    """The programme that an order carries out, when the file has it."""
    found = [note.data for note in story.source.all("programme") if fits(note.data, order)]
    return found[-1] if found and order.source == "programme" else None


def order_words(story: Story, order: Order) -> str:
    """One order in words."""
    if order.begun is None:
        return f"Order {order.number}, of which only the end is recorded"
    if order.source == "programme":
        programme = programme_of(story, order)
        length = format_duration(order.duration_s)
        if programme is None:
            return f"Programme of {format_volume(order.volume_nl)} in {length}"
        return _daily(programme) or f"Programme of {format_volume(order.volume_nl)} in {length}"
    if order.source in ("basal", "kvo"):
        text = format_rate(order.rate_nl_per_day)
        text = f"KVO at {text}" if order.source == "kvo" else text
        if order.volume_nl:
            text += f" until {format_volume(order.volume_nl)}"
        return text + (f", ramped over {format_duration(order.flags)}" if order.flags else "")
    words = texts.SOURCES.get(order.source, order.source)
    words = words[:1].upper() + words[1:]
    if not order.volume_nl:
        return words
    return f"{words} of {format_volume(order.volume_nl)} over {format_duration(order.duration_s)}"


def _daily(programme: Mapping[str, Any]) -> str:
    """A programme of one rate and boluses as a person would say it; empty for others."""
    items = [Item(**item) for item in programme["items"]]
    rates = [item for item in items if item.kind == "rate"]
    boluses = [item for item in items if item.kind == "bolus"]
    if len(rates) != 1 or rates[0].at_s or len(rates) + len(boluses) != len(items):
        return ""
    period_s, repeats = int(programme["period_s"]), int(programme["repeats"])
    daily = period_s == SECONDS_PER_DAY
    every = "daily" if daily else f"every {format_duration(period_s)}"
    text = f"{format_rate(rates[0].value)} for {format_duration(period_s * repeats).replace(' d', ' days')}"
    if len(boluses) == 1:
        once = repeats == 1
        text += f", with {'one' if once else 'a ' + every if daily else 'a'} {format_volume(boluses[0].value)} bolus"
        text += "" if once or daily else f" {every}"
    elif boluses:
        text += f", with {len(boluses)} boluses {every}"
    return text


def _when(at_s: int) -> str:
    return f"at {format_duration(at_s)}" if at_s else "from the start"


def ordered(story: Story) -> str:
    """A second sentence: programme, syringe."""
    parts: list[str] = []
    dose = [order for order in story.orders if order.dose]
    if len(dose) == 1 and (programme := programme_of(story, dose[0])):
        items = [Item(**item) for item in programme["items"]]
        listed = ", ".join(f"{item} {_when(item.at_s)}" for item in items[:6])
        listed += f" and {len(items) - 6} more" if len(items) > 6 else ""
        period = format_duration(int(programme["period_s"]))
        parts.append(f"Programme, {programme['repeats']} × {period}: {listed}; then {programme['at_end']}.")
    elif dose:
        first, last = dose[0], dose[-1]
        numbers = f"Order {first.number}" if first is last else f"Orders {first.number} to {last.number}"
        parts.append(f"{numbers}.")
    if story.loads:
        load = story.loads[-1]
        count = f"{len(story.loads)} syringes, the last of" if len(story.loads) > 1 else "One syringe of"
        parts.append(f"{count} {format_volume(load.syringe_nl)}, loaded with {format_volume(load.reservoir_nl)}.")
    return " ".join(parts)


def duration(story: Story) -> str:
    """From the first dose order to the end of the last, else the length of the recording."""
    start, end = story.treated() or (story.start, story.end)
    return format_duration_short(round(end - start))


def percent(part: int, whole: int) -> str:
    """A share with two digits that count; empty when there is no whole."""
    if not whole:
        return ""
    share = 100 * part / whole
    if share == 0:
        return "0 %"
    digits = 2
    while abs(share) < 10.0 ** -(digits - 1) and digits < 7:
        digits += 1
    return f"{'−' if share < 0 else '+'}{abs(share):.{digits}f} %"
