"""The host's words and types cover the firmware's tables completely, and hold nothing that is not in them."""

from __future__ import annotations

import dataclasses
import string

from hypothesis import given
from hypothesis import strategies as st

from haipump import answers
from haipump.conversation import Greeting
from haipump.protocol import help as texts
from haipump.protocol.schema import MESSAGES
from haipump_fw.core import alarms, options, states
from haipump_fw.proto import messages, table

TYPES = {
    "hello": Greeting,
    "info": answers.Info,
    "status": answers.Status,
    "sensors": answers.Sensors,
    "totals": answers.Totals,
    "lifetime": answers.Lifetime,
    "order": answers.OrderStatus,
    "limits": answers.Limits,
    "calibration": answers.Calibration,
    "settings": answers.Setting,
    "log": answers.JournalPage,
    "clock": answers.Clock,
    "pause": answers.Motion,
    "resume": answers.Motion,
    "cancel_bolus": answers.Motion,
    "stop": answers.Motion,
}


def all_fields() -> set[str]:
    names = {row[1] for row in options.OPTIONS}
    for message in MESSAGES.values():
        names |= set(message.request) | set(message.answer)
    for _, fields in table.EVENTS:
        names |= {field.partition("=")[0] for field in fields.split()}
    return names


def test_every_message_field_error_event_and_alarm_has_its_words() -> None:
    assert set(texts.VERBS) == set(MESSAGES)
    assert set(texts.FIELDS) == all_fields()
    assert set(texts.NEXT_STEPS) == {code for code, _ in table.ERRORS}
    assert set(texts.EVENTS) == {name for name, _ in table.EVENTS}
    assert list(texts.ALARMS) == list(texts.ALARM_BASIS) == [row[alarms.NAME] for row in alarms.ALARMS]
    assert set(texts.ALARM_WITHIN) < set(texts.ALARMS)
    assert set(texts.STATES) == set(states.STATES)
    assert set(texts.SOURCES) == set(messages.SOURCES)
    assert set(texts.RESULTS) == set(messages.RESULTS)


def test_no_words_are_empty_and_none_ends_like_a_sentence() -> None:
    plain = [*texts.FIELDS.values(), *texts.NEXT_STEPS.values(), *texts.EVENTS.values(), *texts.STATES.values()]
    plain += [text for pair in texts.ALARMS.values() for text in pair] + [*texts.PARTS.values()]
    for text in plain:
        assert text and not text.endswith(".") and text[0] in string.ascii_letters + string.digits, text
    for verb in texts.VERBS.values():
        assert verb.name and verb.text.endswith(".") and verb.command


def test_every_answer_has_its_type() -> None:
    for verb, kind in TYPES.items():
        assert {field.name for field in dataclasses.fields(kind)} == set(MESSAGES[verb].answer), verb
    alarm = {field.name for field in dataclasses.fields(answers.Alarm)}
    assert alarm == set(MESSAGES["alarms"].answer) - {"count", "index"}


def test_no_request_is_longer_than_a_line() -> None:
    """With every field at its longest, an id of ten digits and a code from the key. The orders that people give one
    field at a time (limits, settings) may be longer: the library refuses those before they are sent."""
    for verb, message in MESSAGES.items():
        line = f"@1000000000 {verb}"
        for name, field in message.request.items():
            longest = max((str(bound) for bound in field.bounds), key=len) if field.bounds else ""
            if field.choices:
                longest = max(field.choices, key=len)
            elif not field.bounds:
                longest = "a" * int(field.form.partition(":")[2])
            line += f" {name}={longest}"
        line += " mac=" + "0" * messages.MAC_DIGITS + " *00000000"
        if verb not in ("prepare_settings", "prepare_limits", "prepare_dose", "prepare_calibration"):
            assert len(line) <= messages.LINE_MAX, f"{verb}: {len(line)}"


@given(st.sampled_from(table.ERRORS), st.sampled_from(states.STATES), st.integers(-(10**6), 10**9))
def test_every_refusal_makes_sentences(error: tuple[str, str], state: str, number: int) -> None:
    code, meaning = error
    fields = {"code": code, "state": state, "what": "max_bolus_nl", "maximum": number, "minimum": 0}
    assert texts.refusal_sentence(code, fields).startswith(meaning)
    assert texts.next_step(code, fields)
    assert texts.state_sentence(state).startswith("The pump is ")


def test_unknown_codes_of_a_newer_pump_are_said_too() -> None:
    assert "error tea" in texts.refusal_sentence("tea", {})
    assert "update" in texts.next_step("tea", {})
