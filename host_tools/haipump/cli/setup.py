"""Commands to set the pump up and keep it: silence, ack, limits, calibrate, settings, selftest, lock, unlock, service.

Owns: their options. Must not: move anything.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from haipump import answers, keyfiles, syringes
from haipump import quantities as q
from haipump.cli import views
from haipump.cli.delivery import finish, one_word
from haipump.cli.frame import Cli, command, stderr
from haipump.client import SETTING_NAMES, Pump
from haipump.errors import HaipumpError, NotExecuted, Refused, UsageError, WrongKey
from haipump.protocol import help as texts
from haipump.protocol.codec import operator_key
from haipump.protocol.schema import MESSAGES

# What a limit of 0 means, and the labels where those of the reference explain that.
LIMIT_OFF: Mapping[str, str] = {
    "reservoir_low_nl": "never",
    "max_dose_nl": "no limit",
    "soft_rate_nl_per_day": "no limit",
    "soft_bolus_nl": "no limit",
    "soft_dose_nl": "no limit",
    "lockout_s": "none",
    "wait_s": "none",
}
LIMIT_WORDS: Mapping[str, str] = {name: texts.FIELDS[name].partition(";")[0] for name in LIMIT_OFF} | {
    "drug": "Drug that they are for",
    "loaded": "For the syringe that is loaded",
    "used_nl": "Delivered within the window, at most",
}
DOSE_LIMITS = [name for name in LIMIT_OFF if name not in ("reservoir_low_nl", "wait_s")]
ALARM_PANEL, PANEL = "Alarms", "Setting up"
_READERS: Mapping[str, Callable[[str], int]] = {
    "_nl_per_day": q.rate_nl_per_day,
    "_nl": q.volume_nl,
    "_pa": q.pressure_pa,
    "_s": q.duration_s,
}


def register(app: typer.Typer) -> None:
    command(app, "silence", ALARM_PANEL)(silence)
    command(app, "ack", ALARM_PANEL)(ack)
    for name, function in (
        ("limits", limits),
        ("calibrate", calibrate),
        ("settings", settings),
        ("selftest", selftest),
        ("lock", lock),
        ("unlock", unlock),
        ("service", service),
    ):
        command(app, name, PANEL)(function)


def silence(
    cli: Cli, time: Annotated[str | None, typer.Argument(help="At most 2min; without: as in the settings.")] = None
) -> None:
    """Quiets the alarms for a while; a new alarm breaks through."""
    wanted_s = None if time is None else q.duration_s(time)
    MESSAGES["silence"].check({"seconds": wanted_s})  # also when no alarm stands, and nothing is sent
    with cli.pump() as pump:
        if not pump.alarms():
            cli.result({"seconds": 0, "earlier": False})
            cli.say("No alarm stands: there is nothing to silence. One that comes would sound all the same.")
            return
        seconds = pump.silence(wanted_s)
        asked_s = pump.setting("silence_s").value if wanted_s is None else wanted_s
        cli.result({"seconds": seconds, "earlier": seconds != asked_s})
        if seconds == asked_s:
            cli.say(f"The alarms are silent for {q.format_duration(seconds)}.")
            return
        cli.say(f"An earlier silence still runs: the alarms are silent for another {q.format_duration(seconds)}.")
        cli.say("None that runs is made longer or shorter; before the next one the alarms have to sound again.")


def ack(cli: Cli, alarm: Annotated[str | None, typer.Argument(help="Name of one alarm; without: all.")] = None) -> None:
    """Acknowledges alarms; those whose cause is gone go away."""
    with cli.pump() as pump:
        count = pump.ack(alarm)
        standing = pump.alarms()
        cli.result({"acknowledged": count, "alarms": [asdict(one) for one in standing]})
        cli.say(f"{count} acknowledged." if count else "There was nothing to acknowledge.")
        for one in standing:
            if one.phase == "acknowledged":
                cli.say(still_stands(one))
        if standing:
            cli.say(views.alarms_view(standing))
        else:
            cli.say(f"{texts.state_sentence(pump.status().state)}.")


def still_stands(alarm: answers.Alarm) -> Text:
    """Of an alarm that is acknowledged and whose cause goes on."""
    meaning = texts.ALARMS.get(alarm.alarm, ("unknown to these tools", ""))[0]
    again = q.format_duration(texts.REMIND_S.get(alarm.priority, min(texts.REMIND_S.values())))
    return Text.assemble(
        (f"The cause of {alarm.alarm} still stands: ", "yellow"),
        f"{meaning}. It is quiet now, and comes back after {again} unless that is mended.",
    )


def limits(
    cli: Cli,
    max_rate: Annotated[str | None, typer.Option(help="Highest rate of delivery: 50mL/h.")] = None,
    max_bolus: Annotated[str | None, typer.Option(help="Largest bolus: 5mL.")] = None,
    occlusion: Annotated[str | None, typer.Option(help="Pressure of the occlusion alarm, up to 90kPa.")] = None,
    reservoir_low: Annotated[str | None, typer.Option(help="Warn below this volume: 2mL.")] = None,
    reservoir_empty: Annotated[str | None, typer.Option(help="Stop below this volume: 0.5mL.")] = None,
    pause_max: Annotated[str | None, typer.Option(help="Remind after this pause: 10min.")] = None,
    max_dose: Annotated[str | None, typer.Option(help="Highest dose in every window, from all sources: 3mL.")] = None,
    window: Annotated[str | None, typer.Option(help="Length of that window: 24h.")] = None,
    soft_rate: Annotated[str | None, typer.Option(help="Above this rate an override and a reason are needed.")] = None,
    soft_bolus: Annotated[str | None, typer.Option(help="The same for a bolus.")] = None,
    soft_dose: Annotated[str | None, typer.Option(help="The same for the dose in a window.")] = None,
    lockout: Annotated[str | None, typer.Option(help="Time from bolus to bolus, at least: 30min.")] = None,
    drug: Annotated[str | None, typer.Option(help="The drug that the dose limits are for; none: any.")] = None,
    auto_resumes: Annotated[
        int | None, typer.Option(help="So often in 10 minutes the rate goes on by itself after an occlusion.")
    ] = None,
) -> None:
    """Shows the limits, or changes those that are given. For dose limits 0 is no limit."""
    given = {
        "max_rate_nl_per_day": None if max_rate is None else q.rate_nl_per_day(max_rate),
        "max_bolus_nl": None if max_bolus is None else q.volume_nl(max_bolus),
        "occlusion_pa": None if occlusion is None else q.pressure_pa(occlusion),
        "reservoir_low_nl": or_none(reservoir_low, q.volume_nl),
        "reservoir_empty_nl": None if reservoir_empty is None else q.volume_nl(reservoir_empty),
        "pause_max_s": None if pause_max is None else q.duration_s(pause_max),
        "auto_resumes": auto_resumes,
    }
    dose = {
        "max_dose_nl": or_none(max_dose, q.volume_nl),
        "window_s": None if window is None else q.duration_s(window),
        "soft_rate_nl_per_day": or_none(soft_rate, q.rate_nl_per_day),
        "soft_bolus_nl": or_none(soft_bolus, q.volume_nl),
        "soft_dose_nl": or_none(soft_dose, q.volume_nl),
        "lockout_s": or_none(lockout, q.duration_s),
        "drug": one_word(drug),
    }
    changes = any(value is not None for value in given.values())
    dose_changes = any(value is not None for value in dose.values())
    with cli.pump() as pump:
        if changes:
            change(cli, pump, "prepare_limits", given, asdict(pump.limits()), "Change these limits?")
        if dose_changes:
            change(cli, pump, "prepare_dose", dose, asdict(pump.dose()), "Change these dose limits?")
        if not (changes or dose_changes):
            now, doses, library = asdict(pump.limits()), asdict(pump.dose()), asdict(pump.library())
            cli.result({"limits": now, "dose": doses, "library": library})
            cli.say(views.facts_view("Limits", none_in_words(now), LIMIT_WORDS))
            cli.say(views.facts_view("Dose limits", none_in_words(doses), LIMIT_WORDS))
            if library["library"] != "0":
                cli.say(f"Sealed to a drug library: {library['library']}. `haipump therapy load` changes them.")


def or_none(text: str | None, read: Callable[[str], int]) -> int | None:
    """A limit as typed; a plain 0 needs no unit: it switches the limit off."""
    return None if text is None else 0 if text.strip() == "0" else read(text)


def limit_text(name: str, value: int | str) -> str:
    """A value in everyday units; of a limit that is off the word for it."""
    return LIMIT_OFF[name] if value == 0 and name in LIMIT_OFF else texts.quantity(name, value)


def none_in_words(values: Mapping[str, int | str]) -> dict[str, str]:
    """Limits as they are shown: what is off, or not known, is said so."""
    shown = {name: limit_text(name, value) for name, value in values.items()}
    if "loaded" in shown:
        shown["loaded"] = "yes" if values["loaded"] else "no, for another drug"
    if values.get("used_nl") == -1:
        limited = values["drug"] != "none" or any(values[name] for name in DOSE_LIMITS)
        shown["used_nl"] = "not known before the pump is stopped" if limited else "not counted: no limit is set"
    return shown


def calibrate(
    cli: Cli,
    step_fl: Annotated[int | None, typer.Option(help="Femtolitres per microstep, as measured.")] = None,
    commanded: Annotated[str | None, typer.Option(help="With --measured: what was asked for, 10mL ...")] = None,
    measured: Annotated[str | None, typer.Option(help="... and what the balance says, 9.9mL.")] = None,
    bore_um: Annotated[int | None, typer.Option(help="Inner diameter of the syringe.")] = None,
    lead_um: Annotated[int | None, typer.Option(help="Way of the screw per turn.")] = None,
    steps_per_turn: Annotated[int | None, typer.Option(help="Microsteps per turn.")] = None,
    backlash_steps: Annotated[int | None, typer.Option(help="Microsteps of play at a reversal.")] = None,
    travel_steps: Annotated[int | None, typer.Option(help="Length of the way; 0: the end switches decide.")] = None,
) -> None:
    """Shows the calibration, or changes it: by geometry, by a measurement, or directly."""
    with cli.pump() as pump:
        now = pump.calibration()
        ways = [step_fl is not None, commanded is not None or measured is not None,
                any(value is not None for value in (bore_um, lead_um, steps_per_turn))]  # fmt: skip
        if sum(ways) > 1:
            raise UsageError(
                "the volume per step is given in two ways", next_step="give a measurement, or the geometry"
            )
        if ways[1]:
            if commanded is None or measured is None:
                raise UsageError("one of --commanded and --measured is missing", next_step="give both")
            step_fl = corrected(now.step_fl, q.volume_nl(commanded), q.volume_nl(measured))
        elif ways[2]:
            if bore_um is not None and now.syringe_nl:
                syringes.check_bore(now.syringe_nl, bore_um)
            step_fl = syringes.step_fl(
                bore_um or now.bore_um, lead_um or now.lead_um, steps_per_turn or now.steps_per_turn
            )
        given = {
            "step_fl": step_fl,
            "bore_um": bore_um,
            "lead_um": lead_um,
            "steps_per_turn": steps_per_turn,
            "backlash_steps": backlash_steps,
            "travel_steps": travel_steps,
        }
        if not any(value is not None for value in given.values()):
            cli.result({"calibration": asdict(now)})
            cli.say(views.facts_view("Calibration", asdict(now)))
            return
        check_step(now, given)
        weighed = syringes.measured_fl(now) if ways[2] else None
        if weighed is not None:
            cli.say(f"[yellow]This replaces what was measured, {q.format_femtolitres(weighed)} per microstep.[/]")
        change(cli, pump, "prepare_calibration", given, asdict(now), "Change the calibration?")


def check_step(now: answers.Calibration, given: Mapping[str, int | None]) -> None:
    """What the calibration would be, against its geometry, as the pump does it. Raises UsageError."""
    new = asdict(now) | {name: value for name, value in given.items() if value is not None}
    syringes.check_step(
        *(new[name] for name in ("step_fl", "bore_um", "lead_um", "steps_per_turn")),
        next_step="check the syringe, its bore, air and leaks; --bore-um alone sets what the geometry gives",
    )


def corrected(step_fl: int, commanded_nl: int, measured_nl: int) -> int:
    """Femtolitres per microstep after weighing what was delivered, rounded half up. Raises UsageError when the
    correction is beyond 10 %: that is a mistake and no tolerance."""
    if not commanded_nl or abs(Fraction(measured_nl, commanded_nl) - 1) > Fraction(syringes.STEP_OFF_PERCENT, 100):
        raise UsageError(
            "measured and commanded volume differ by more than 10 %",
            next_step="check the syringe, its bore, air and leaks before calibrating",
        )
    exact = Fraction(step_fl * measured_nl, commanded_nl)
    return (2 * exact.numerator + exact.denominator) // (2 * exact.denominator)


def settings(
    cli: Cli,
    changes: Annotated[list[str] | None, typer.Argument(help="NAME or NAME=VALUE, e.g. kvo=0.3mL/day.")] = None,
) -> None:
    """Shows all settings or the named ones, or changes those with a value."""
    wanted = [setting_of(change.partition("=")[0]) for change in changes or ()]
    values = {
        name: setting_value(name, change.partition("=")[2])
        for name, change in zip(wanted, changes or (), strict=True)
        if "=" in change
    }
    with cli.pump() as pump:
        if values:
            now = {name: pump.setting(name).value for name in values}
            change(cli, pump, "prepare_settings", dict(values), now, "Change these settings?")
            return
        found = [pump.setting(name) for name in wanted] if wanted else list(pump.settings().values())
        cli.result({"settings": {one.name: asdict(one) for one in found}})
        rows = [(one.name, setting_text(one), setting_range(one), texts.FIELDS[one.name]) for one in found]
        cli.say(views.rows_view(rows, "Setting", "Value", "Range", "What it is"))


def setting_text(one: answers.Setting) -> str:
    """The value; when it was changed, the default beside it."""
    if one.value == one.default:
        return texts.quantity(one.name, one.value)
    return f"[bold]{texts.quantity(one.name, one.value)}[/] [dim](default {texts.quantity(one.name, one.default)})[/]"


def setting_range(one: answers.Setting) -> str:
    return f"{texts.quantity(one.name, one.minimum)} to {texts.quantity(one.name, one.maximum)}"


def setting_of(text: str) -> str:
    """The setting that is meant: its name, or the beginning of exactly one. Raises UsageError."""
    if text in SETTING_NAMES:
        return text
    found = [name for name in SETTING_NAMES if name.startswith(text)] if text else []
    if len(found) == 1:
        return found[0]
    raise UsageError(
        f'"{text}" is ' + ("the beginning of " + ", ".join(found) if found else "no setting"),
        next_step="see all with `haipump settings`",
    )


def setting_value(name: str, text: str) -> int:
    """A typed value: a quantity where the setting has a unit that people write, else a whole number."""
    if not name.endswith(("_steps_per_s", "_steps_per_s2")):
        for ending, read in _READERS.items():
            if name.endswith(ending):
                return read(text)
    if not text.isascii() or not text.isdigit():
        raise UsageError(f'{name} is a whole number, and "{text}" is none', next_step=f"write for example {name}=600")
    return int(text)


def change(
    cli: Cli,
    pump: Pump,
    verb: str,
    given: Mapping[str, int | str | None],
    now: Mapping[str, int | str],
    question: str,
) -> None:
    """Show old and new values, ask, and change."""
    wanted = {name: value for name, value in given.items() if value is not None}

    def show(plan: answers.Plan) -> object:
        rows = [
            (
                name,
                limit_text(name, now[name]),
                f"[bold]{limit_text(name, plan.values.get(name, value))}[/]",
                texts.FIELDS[name],
            )
            for name, value in wanted.items()
        ]
        return views.rows_view(rows, "Name", "Now", "Then", "What it is")

    finish(cli, pump, cli.order(pump, lambda: pump.prepare(verb, **wanted), show, question), False)


def selftest(cli: Cli) -> None:
    """Runs the power-on self test again, and reads the stored firmware; only while stopped."""
    with cli.pump() as pump:
        state, result, parts = pump.selftest_parts()
        cli.result({"state": state, "result": result, "parts": parts})
        for name, good in parts.items():
            verdict = "all right" if good else f"[bold red]FAILED[/]: {texts.PARTS.get(name, 'do not use the pump')}"
            cli.say(f"{name.replace('_', ' '):16} {verdict}")
        if result == "passed":
            cli.say(f"Self test: [bold]passed[/]. {texts.state_sentence(state)}.")
            return
        cli.say(f"Self test: [bold red]failed[/]. {texts.state_sentence(state)}.")
        cli.say("It does not deliver until `haipump selftest` has passed. Find the cause with the power off.")


def lock(
    cli: Cli,
    new_key: Annotated[
        Path | None, typer.Option(help="Make a key, store it in this new file and in the pump (service jumper).")
    ] = None,
) -> None:
    """Locks the pump: from then on changes need the key."""
    with cli.pump() as pump:
        cli.confirm("Give the pump a new key, and lock it?" if new_key else "Lock the pump?")
        if new_key is not None:
            _change_key(cli, pump, new_key)
        try:
            pump.lock()
        except HaipumpError as failure:
            if new_key is not None:
                failure.state += f"; its key was changed before that, and is in {new_key}"
            raise
        cli.result({"locked": True, "key_file": str(new_key) if new_key else None})
        cli.say("The pump is locked. `stop` works without the key all the same.")


def _change_key(cli: Cli, pump: Pump, path: Path) -> None:
    """A new key for the pump, in a new file. Who can't say whether the pump has it names this file and the old one."""
    key = secrets.token_hex(32)
    old = f", else it still has that of {cli.key_file}: keep both" if cli.key_file else ""
    with _key_files(path, key, old):
        pump.set_key(key)
    cli.say(f"The key is in {path}. Keep it: without it, only the service jumper opens the pump.")
    cli.say(f"{_operator_file(path)} is for who may order, but change no limit, setting, calibration or key.")
    if cli.key_file:
        cli.say(f"The key in {cli.key_file} does not open this pump any more.")


def _operator_file(path: Path) -> Path:
    return path.with_name(path.name + ".operator")


@contextmanager
def _key_files(path: Path, key: str, old: str) -> Iterator[None]:
    """Both keys are safely on the disk before the pump gets its own, and have their names only once it has taken it.
    When nobody can say whether it did, the files stay: a key that is lost locks everybody out. `old`: what is then said
    of the key that the pump had."""
    keys = {path: key, _operator_file(path): operator_key(bytes.fromhex(key)).hex()}
    made: dict[Path, Path] = {}
    for name, text in keys.items():
        try:
            made[_make_key_file(name, text)] = name
        except OSError as failure:
            _take_away(made)
            raise UsageError(
                f"the key file {name} can't be made ({failure.strerror})",
                next_step=f"name a file that does not exist (nor {name.name}.new)",
            ) from failure
    said = f"the key, should the pump have taken it, is in {next(iter(made))}{old}"
    try:
        yield
    except HaipumpError as failure:
        half_stored = isinstance(failure, Refused) and failure.code == "storage"
        if isinstance(failure, Refused | NotExecuted | UsageError | WrongKey) and not half_stored:
            _take_away(made)
        else:
            failure.next_step += f"; {said}"
        raise
    except KeyboardInterrupt:
        stderr().print(said[:1].upper() + said[1:] + ".", markup=False)
        raise
    for waiting, name in made.items():
        waiting.rename(name)


def _make_key_file(path: Path, key: str) -> Path:
    """The file in which the key waits for its name. Raises OSError."""
    waiting = path.with_name(path.name + ".new")
    if path.exists():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
    keyfiles.write_new(waiting, key)
    return waiting


def _take_away(made: Iterable[Path]) -> None:
    for waiting in made:
        waiting.unlink(missing_ok=True)


def unlock(cli: Cli) -> None:
    """Unlocks the pump; needs the key."""
    with cli.pump() as pump:
        pump.unlock()
        cli.result({"locked": False})
        cli.say("The pump is unlocked.")


def service(cli: Cli) -> None:
    """Restarts the pump into the MicroPython prompt, for mpremote; only while stopped."""
    with cli.pump() as pump:
        cli.confirm("Leave pump operation for maintenance?")
        pump.service()
        cli.result({"service": True})
        cli.say("The pump restarts into service mode: `mpremote` reaches it now. Switching it off and on ends that.")
