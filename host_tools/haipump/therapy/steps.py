"""The steps of a refill: what each asks, how an answer is read, and what a confirmed answer means.

Owns: QUESTIONS, READERS, TAKERS, one function per state and table. Must not: know the order of the steps (the table in
`refill` does), talk to a pump, write or print. Teaching and bench material, not for clinical use.

A reader turns what was typed into the answer that is recorded, and refuses what is none. A taker puts a recorded answer
into the facts and returns the trigger; it is called again with the same answers when a visit is taken up.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from haipump import quantities as q
from haipump.errors import UsageError
from haipump.quantities import format_rate, format_volume
from haipump.therapy import findings
from haipump.therapy.findings import KINDS, Finding, Ledger, percent, tenths

if TYPE_CHECKING:
    from haipump.therapy.refill import Procedure

Answer = Mapping[str, Any]
NOTHING_RECORDED = "Nothing was recorded"
YES = ("y", "yes")
NO = ("n", "no")


@dataclass(frozen=True)
class Question:
    """What is asked: in words, what may be answered, and what Enter means ("" when it means nothing)."""

    state: str
    text: str
    hint: str
    default: str = ""


def concentration_text(ng_per_ml: Fraction) -> str:
    """mg/mL to three digits behind the point, for people."""
    thousandths = round(ng_per_ml / 1_000)
    return f"{thousandths // 1_000}.{thousandths % 1_000:03d} mg/mL"


def drug_text(procedure: Procedure) -> str:
    """What is about to go in."""
    plan = procedure.plan
    if procedure.facts.substituted or not plan.concentration_ng_per_ml:
        return procedure.drug.replace("_", "-")
    return f"{procedure.drug} {concentration_text(plan.concentration_ng_per_ml)}"


def _choice(text: str, **words: tuple[str, ...]) -> str:
    """Which of the choices was typed, in any of its spellings; the last one is shown. Raises UsageError."""
    typed = text.lower()
    for name, spellings in words.items():
        if typed in spellings:
            return name
    *most, last = (spellings[-1] for spellings in words.values())
    options = " or ".join([", ".join(most), last] if most else [last])
    raise UsageError(f'"{text}" is none of the answers', NOTHING_RECORDED, f"answer {options}")


def _yes(text: str) -> bool:
    return _choice(text, yes=YES, no=NO) == "yes"


# --- who, what


def ask_identify(procedure: Procedure, at: datetime.datetime) -> Question:
    plan = procedure.plan
    pump = "The pump is stopped then." if plan.has_pump else "A pump of constant flow runs on meanwhile."
    return Question(
        "identify",
        f"Patient, pump, needle and syringe are the right ones: {format_volume(plan.fill_nl)} of {drug_text(procedure)}"
        f". {pump} Your name",
        "type your name; it stands beside every step",
        plan.by,
    )


def read_identify(procedure: Procedure, text: str, at: datetime.datetime) -> dict[str, Any]:
    if not 2 <= len(text) <= 60 or not any(letter.isalpha() for letter in text):
        raise UsageError(f'"{text}" is no name', NOTHING_RECORDED, "type your name, 2 to 60 letters")
    return {"by": text}


def take_identify(procedure: Procedure, answer: Answer, at: datetime.datetime) -> str:
    procedure.facts.by = answer["by"]
    return "named"


def take_stop(procedure: Procedure, answer: Answer, at: datetime.datetime) -> str:
    procedure.facts.stopped = True
    if answer.get("ledger") and procedure.plan.before is not None:
        procedure.facts.ledger = Ledger(**answer["ledger"])
    return "stopped"


def ask_drug(procedure: Procedure, at: datetime.datetime) -> Question:
    return Question("drug", f"Lot on the syringe of {drug_text(procedure)}", "type what is printed on its label")


def read_drug(procedure: Procedure, text: str, at: datetime.datetime) -> dict[str, Any]:
    if not re.fullmatch(r"[\w./ -]{1,40}", text) or text.lower() in (*YES, *NO):
        raise UsageError(f'"{text}" is no lot', NOTHING_RECORDED, "type the letters and digits on the label")
    return {"lot": text}


def take_drug(procedure: Procedure, answer: Answer, at: datetime.datetime) -> str:
    procedure.facts.lot = answer["lot"]
    return "labelled"


# --- residual


def ask_access(procedure: Procedure, at: datetime.datetime) -> Question:
    text = "Refill needle in the septum to its stop, valve shut"
    if procedure.plan.has_pump:
        text = "Line disconnected from anything alive, syringe out of the drive, which then goes back by itself"
        return Question("access", text, "answer yes, or leave")
    return Question("access", text, "answer yes; not found: the septum can't be felt, or the needle meets metal")


def read_access(procedure: Procedure, text: str, at: datetime.datetime) -> dict[str, Any]:
    """Yes, or that there is no septum: a pump on a line has none to miss."""
    if not procedure.plan.has_pump and text.lower() in ("not found", "metal"):
        return {"found": False}
    return read_sure(procedure, text, at)


def read_sure(procedure: Procedure, text: str, at: datetime.datetime) -> dict[str, Any]:
    """Only yes goes on."""
    if not _yes(text):
        raise UsageError("it is not done yet", NOTHING_RECORDED, "answer yes when it is, or leave to end the visit")
    return {"yes": True}


def take_access(procedure: Procedure, answer: Answer, at: datetime.datetime) -> str:
    if answer.get("found", True):
        return "accessed"
    procedure.facts.found.append(Finding("turned_over", "no needle went in"))
    return "missed"


def ask_withdraw(procedure: Procedure, at: datetime.datetime) -> Question:
    before, plan = procedure.plan.before, procedure.plan
    expected = "the first fill, so nothing is expected"
    if before is not None and procedure.facts.filled_nl:
        left_nl = _expected_nl(procedure, at)
        expected = f"expected {tenths(left_nl / 1_000_000)} mL"
    how = "Empty the syringe" if plan.has_pump else "Open the valve and let it empty"
    weigh = "" if plan.reading_nl > findings.WEIGHED_NL else ", weighed"
    return Question("withdraw", f"{how}. Volume that came back{weigh} ({expected})", "such as 11.8mL")


def _expected_nl(procedure: Procedure, at: datetime.datetime) -> Fraction:
    facts, plan = procedure.facts, procedure.plan
    if facts.ledger is not None:
        return Fraction(facts.filled_nl - facts.ledger.stepped_max_nl - facts.ledger.other_nl)
    assert plan.before is not None
    elapsed_s = int((at - plan.before.at).total_seconds())
    return max(Fraction(0), facts.filled_nl - plan.reference_nl_per_day * elapsed_s / q.SECONDS_PER_DAY)


def _volume(text: str) -> int:
    return 0 if text == "0" else q.volume_nl(text)


def read_withdraw(procedure: Procedure, text: str, at: datetime.datetime) -> dict[str, Any]:
    value_nl = _volume(text)
    if value_nl > findings.VOLUME_MAX_NL:
        raise UsageError(f"no reservoir holds {format_volume(value_nl)}", NOTHING_RECORDED, "read it again")
    return {"returned_nl": value_nl}


def take_retract(procedure: Procedure, answer: Answer, at: datetime.datetime) -> str:
    return "retracted"


def take_withdraw(procedure: Procedure, answer: Answer, at: datetime.datetime) -> str:
    procedure.facts.returned_nl, procedure.facts.returned_at = answer["returned_nl"], at
    procedure.judge()
    return "returned"


def ask_check_record(procedure: Procedure, at: datetime.datetime) -> Question:
    before = procedure.plan.before
    assert before is not None
    return Question(
        "check_record",
        f"The record says {format_volume(procedure.facts.filled_nl)} were filled on {before.at.date()}. Inject nothing "
        "yet. Is that right: yes, or the volume that was filled",
        "answer yes, or such as 20mL",
    )


def read_check_record(procedure: Procedure, text: str, at: datetime.datetime) -> dict[str, Any]:
    if text.lower() in YES:
        return {"right": True}
    value_nl = q.volume_nl(text)
    if not 0 < value_nl <= findings.VOLUME_MAX_NL:
        raise UsageError(f"{format_volume(value_nl)} is no fill", NOTHING_RECORDED, "give the volume that was filled")
    returned_nl = procedure.facts.returned_nl or 0
    if value_nl < returned_nl:
        raise UsageError(
            f"{format_volume(value_nl)} can't have been filled: {format_volume(returned_nl)} came back",
            NOTHING_RECORDED,
            "give the volume that was filled, or leave",
        )
    return {"filled_nl": value_nl}


def take_check_record(procedure: Procedure, answer: Answer, at: datetime.datetime) -> str:
    if "filled_nl" in answer:
        procedure.facts.filled_nl = answer["filled_nl"]
        procedure.judge()
    procedure.facts.record_checked = True
    return "checked"


# --- needle, catheter


# What a flush through the bolus path can show beside free: how it may be typed, the last one as it is shown.
FLUSH_SIGNS: Mapping[str, tuple[str, ...]] = {
    "stiff": ("stiff",),
    "no_blood": ("no_blood", "no blood"),
    "swelling": ("swelling",),
    "blocked": ("b", "resistance", "blocked"),
}
DOUBTFUL = ("stiff", "no_blood")  # it goes, and only a tracer tells where
FLUSH = (
    "Bolus needle to its stop; draw back the drug in the catheter; flush with heparinised saline, 100 units/mL, "
    "without force"
)


def ask_patency(procedure: Procedure, at: datetime.datetime) -> Question:
    return Question(
        procedure.state,
        f"{FLUSH}; draw back until blood comes, and flush again. Did it go: free, stiff, no blood, swelling, blocked",
        "answer free; stiff; no blood: it goes, and none comes back; swelling: of the pocket; or blocked (much "
        "resistance counts as blocked)",
    )


def read_patency(procedure: Procedure, text: str, at: datetime.datetime) -> dict[str, Any]:
    return {"patency": _choice(text, free=("f", "free"), **FLUSH_SIGNS)}


def take_patency(procedure: Procedure, answer: Answer, at: datetime.datetime) -> str:
    if answer["patency"] == "free":
        procedure.facts.patent = True
        return "free"
    return "doubtful" if _flush_sign(procedure, answer["patency"]) else "blocked"


def _flush_sign(procedure: Procedure, kind: str) -> bool:
    """The finding that a flush has shown; whether a tracer may still show that all is well."""
    procedure.facts.found.append(Finding(kind, "flush through the bolus path"))
    return kind in DOUBTFUL


def ask_perfusion(procedure: Procedure, at: datetime.datetime) -> Question:
    """With the flush in it, unless that has been done."""
    signs = [one.kind for one in procedure.facts.found if one.kind in DOUBTFUL]
    if procedure.facts.patent or signs:
        text = "Perfusion check: a tracer through the bolus path, slowly"
    else:
        text = f"Perfusion check. {FLUSH}, then the tracer, slowly"
    if signs:
        text = f"{_told(procedure)}{text}"
    return Question(
        procedure.state,
        f"{text}. Where does it show: liver, other organ, pocket",
        "answer liver (nowhere else), other organ, or pocket; or what the flush showed: stiff, no blood, swelling, "
        "blocked",
    )


def read_perfusion(procedure: Procedure, text: str, at: datetime.datetime) -> dict[str, Any]:
    places = {"liver": ("liver",), "other_organ": ("organ", "other_organ", "other organ"), "leak": ("pocket",)}
    return {"tracer": _choice(text, **places, **FLUSH_SIGNS)}


def take_perfusion(procedure: Procedure, answer: Answer, at: datetime.datetime) -> str:
    tracer = answer["tracer"]
    if tracer == "liver":
        procedure.facts.perfused = procedure.facts.patent = True
        return "liver"
    if tracer in FLUSH_SIGNS:
        return "doubtful" if _flush_sign(procedure, tracer) else "astray"
    procedure.facts.found.append(Finding(tracer, "perfusion check with a tracer"))
    return "astray"


def _told(procedure: Procedure) -> str:
    """What the catheter has shown in this visit, for the next question."""
    found = procedure.facts.found
    return f"{KINDS[found[-1].kind][1].capitalize()}. " if found else ""


def ask_substitute(procedure: Procedure, at: datetime.datetime) -> Question:
    return Question(
        "substitute",
        f"{_told(procedure)}No drug. Fill heparin-saline instead, so that the pump is not empty: saline, or leave",
        "answer saline, or leave to end the visit",
    )


def read_substitute(procedure: Procedure, text: str, at: datetime.datetime) -> dict[str, Any]:
    _choice(text, saline=("s", "saline"))
    return {"substitute": "heparin-saline"}


def take_substitute(procedure: Procedure, answer: Answer, at: datetime.datetime) -> str:
    procedure.facts.substituted = True
    return "substituted"


def ask_acknowledge(procedure: Procedure, at: datetime.datetime) -> Question:
    plan, told = procedure.plan, procedure.assessment
    assert told is not None
    change = procedure.flow_nl_per_day / plan.reference_nl_per_day - 1
    advice = "such a flow is an obstacle and no flow to dose by: the dose fits if the flow comes back"
    if not told.kinds & {"fast", "slow"}:
        advice = f"measured {percent(told.error)}, which readings can make, and so the dose stays as it was made"
    elif change:
        made_for = tenths(plan.reference_nl_per_day / 1_000_000)
        advice = f"its dose was made for {made_for} mL/day and would be off by {percent(change)}"
        if plan.concentration_ng_per_ml:
            fitting = plan.concentration_ng_per_ml * plan.reference_nl_per_day / procedure.flow_nl_per_day
            advice += f"; {concentration_text(fitting)} would fit"
    return Question(
        "acknowledge",
        f"The flow is more than 15 % off ({advice}). Why is what was prepared filled all the same",
        "type a reason, or leave to have it prepared anew",
    )


def read_acknowledge(procedure: Procedure, text: str, at: datetime.datetime) -> dict[str, Any]:
    if len(text) < 4 or text.lower() in (*YES, *NO):
        raise UsageError(f'"{text}" is no reason', NOTHING_RECORDED, "type why it is filled all the same, or leave")
    return {"reason": text[:200]}


def take_acknowledge(procedure: Procedure, answer: Answer, at: datetime.datetime) -> str:
    procedure.facts.reason = answer["reason"]
    return "acknowledged"


def ask_placement(procedure: Procedure, at: datetime.datetime) -> Question:
    check_nl = min(procedure.plan.check_nl, procedure.plan.fill_nl)
    where = f"Is the needle in the reservoir? Push {format_volume(check_nl)} and let go."
    if procedure.plan.has_pump:
        where = f"Is the needle in the syringe? Push {format_volume(check_nl)} and draw it back."
    return Question(
        "placement",
        f"{where} Volume that came back",
        f"such as {format_volume(check_nl).replace(' ', '')}; 0 when the pocket swells or hurts",
    )


def read_placement(procedure: Procedure, text: str, at: datetime.datetime) -> dict[str, Any]:
    value_nl, check_nl = _volume(text), min(procedure.plan.check_nl, procedure.plan.fill_nl)
    if value_nl > 2 * check_nl:
        raise UsageError(
            f"{format_volume(value_nl)} can't come back of {format_volume(check_nl)}", NOTHING_RECORDED, "read it again"
        )
    return {"pushed_nl": check_nl, "returned_nl": value_nl}


def take_placement(procedure: Procedure, answer: Answer, at: datetime.datetime) -> str:
    found = findings.returned_check(answer["pushed_nl"], answer["returned_nl"])
    if found is None:
        return "placed"
    procedure.facts.found.append(found)
    return "lost"


def ask_pocket(procedure: Procedure, at: datetime.datetime) -> Question:
    return Question(
        "pocket",
        f"{KINDS['pocket'][1].capitalize()}. {KINDS['pocket'][2].capitalize()}. Is it placed anew: again, or leave",
        "answer again to check once more, or leave to end the visit",
    )


def read_pocket(procedure: Procedure, text: str, at: datetime.datetime) -> dict[str, Any]:
    _choice(text, again=("a", "again"))
    return {"again": True}


def take_pocket(procedure: Procedure, answer: Answer, at: datetime.datetime) -> str:
    return "again"


# --- fill


def ask_portion(procedure: Procedure, at: datetime.datetime) -> Question:
    portions, number = procedure.plan.portions, procedure.facts.portions_in
    part = f"Part {number + 1} of {len(portions)}: "
    text = f"inject {format_volume(portions[number])} slowly, then draw back a little. Did it come, with no swelling "
    text += "and no pain"
    if procedure.plan.has_pump:
        text = f"{format_volume(portions[number])} into the syringe. Is all of it in, and no air"
    return Question(
        "portion",
        part + text,
        "yes: it is in the reservoir; no: it is not, or it is not known",
    )


def read_portion(procedure: Procedure, text: str, at: datetime.datetime) -> dict[str, Any]:
    return {"in": _yes(text), "volume_nl": procedure.plan.portions[procedure.facts.portions_in]}


def take_portion(procedure: Procedure, answer: Answer, at: datetime.datetime) -> str:
    if not answer["in"]:
        procedure.facts.lost_nl = answer["volume_nl"]
        words = (
            f"{format_volume(answer['volume_nl'])} may be in the pocket; draw back what comes, and watch the patient"
        )
        procedure.facts.found.append(Finding("pocket", words))
        return "lost"
    procedure.facts.portions_in += 1
    return "portion_in"


def take_load(procedure: Procedure, answer: Answer, at: datetime.datetime) -> str:
    return "loaded"


def ask_prime_ready(procedure: Procedure, at: datetime.datetime) -> Question:
    return Question(
        "prime_ready",
        f"Is the line disconnected from anything alive? Then {format_volume(procedure.plan.prime_nl)} are pushed fast, "
        "to take up play and air",
        "answer yes when it is, or leave",
    )


def take_prime_ready(procedure: Procedure, answer: Answer, at: datetime.datetime) -> str:
    return "disconnected"


def take_prime(procedure: Procedure, answer: Answer, at: datetime.datetime) -> str:
    return "primed"


# --- start


def ask_start(procedure: Procedure, at: datetime.datetime) -> Question:
    plan = procedure.plan
    date = at.date() + datetime.timedelta(days=procedure.next_days())
    how = (
        f"Line connected. Start {format_rate(plan.rate_nl_per_day)}"
        if plan.has_pump
        else "Needle out, pocket as before"
    )
    return Question(
        "start",
        f"{how}, and next visit on {date}: yes, or another date",
        f"answer yes, or such as {date}",
    )


def read_start(procedure: Procedure, text: str, at: datetime.datetime) -> dict[str, Any]:
    """A date within what the fill lasts for."""
    latest = at.date() + datetime.timedelta(days=max(1, procedure.plan.supply_days(procedure.flow_nl_per_day)))
    if text.lower() in YES:
        date = at.date() + datetime.timedelta(days=procedure.next_days())
    else:
        try:
            date = datetime.date.fromisoformat(text)
        except ValueError:
            raise UsageError(f'"{text}" is no date', NOTHING_RECORDED, f"answer yes, or such as {latest}") from None
    if not at.date() < date <= latest:
        raise UsageError(
            f"{date} is not between tomorrow and {latest}, when the fill comes to its reserve",
            NOTHING_RECORDED,
            "name an earlier date",
        )
    return {"next": date.isoformat()}


def take_start(procedure: Procedure, answer: Answer, at: datetime.datetime) -> str:
    procedure.facts.next_visit = datetime.date.fromisoformat(answer["next"])
    return "started"


def take_run(procedure: Procedure, answer: Answer, at: datetime.datetime) -> str:
    return "running"


QUESTIONS: Mapping[str, Callable[[Procedure, datetime.datetime], Question]] = {
    "identify": ask_identify, "drug": ask_drug, "access": ask_access, "withdraw": ask_withdraw,
    "check_record": ask_check_record, "patency": ask_patency, "perfusion": ask_perfusion, "substitute": ask_substitute,
    "acknowledge": ask_acknowledge, "placement": ask_placement, "pocket": ask_pocket, "portion": ask_portion,
    "prime_ready": ask_prime_ready, "flush": ask_patency, "trace": ask_perfusion, "start": ask_start,
}  # fmt: skip
READERS: Mapping[str, Callable[[Procedure, str, datetime.datetime], dict[str, Any]]] = {
    "identify": read_identify, "drug": read_drug, "access": read_access, "withdraw": read_withdraw,
    "check_record": read_check_record, "patency": read_patency, "perfusion": read_perfusion,
    "substitute": read_substitute, "acknowledge": read_acknowledge, "placement": read_placement,
    "pocket": read_pocket, "portion": read_portion, "prime_ready": read_sure, "flush": read_patency,
    "trace": read_perfusion, "start": read_start,
}  # fmt: skip
TAKERS: Mapping[str, Callable[[Procedure, Answer, datetime.datetime], str]] = {
    "identify": take_identify, "stop": take_stop, "drug": take_drug, "access": take_access, "retract": take_retract,
    "withdraw": take_withdraw, "check_record": take_check_record, "patency": take_patency,
    "perfusion": take_perfusion,
    "substitute": take_substitute, "acknowledge": take_acknowledge, "placement": take_placement,
    "pocket": take_pocket, "portion": take_portion, "load": take_load, "prime_ready": take_prime_ready,
    "prime": take_prime, "flush": take_patency, "trace": take_perfusion, "start": take_start, "run": take_run,
}  # fmt: skip
