"""Every exception of the host tools, as one tree; each says what happened, the pump's state, and what to do next.

Owns: the classes, their exit codes, their wording as text and as JSON. Must not: talk to a pump or print.

    HaipumpError
      UsageError               what was typed cannot be used                                   exit 2
        QuantityError            not a quantity
          InexactQuantity          not a whole number of the pump's units; has the neighbours
        FieldError               a message's field is unknown, missing or out of range
        ProgrammeFileError       a programme file is wrong
        CourseFileError          a course, library or rule file is wrong; has all problems with their lines
      PortError                no pump, no port                                                exit 3
        NoPumpFound, SeveralPumps, PortMissing, PortForbidden, PortBusy, NotAPump
      CommunicationError       the line failed                                                 exit 4
        AnswerTimeout            no answer in time; has what was heard
        LinkLost                 the port went away and did not come back
        OutcomeUnknown           sent, but nobody can say whether it was executed
        NotExecuted              sent, lost, and proven not to have been executed
        WrongAnswer              the pump understood something else than was asked; nothing was started
        StopNotConfirmed         a stop was wanted, and nobody can say that the pump stands still
        StoppedOnly              the pump has stopped, and nothing else can be asked of it
        FlashFailed              installing the firmware broke off; has whether the board is half installed
      Refused                  the pump said no; has `code` and `fields`                       exit 1
      NotFlashable             the firmware does not go onto this board; nothing was written  exit 1
      Declined                 the person said no; nothing was changed                         exit 6
      Interrupted              Ctrl-C; the pump goes on as it was                              exit 130
      PumpFault                the pump ended something by itself                              exit 5
        OrderInterrupted         an order ended before it was complete
      PlanRefused              a course that can be read has errors; has all problems          exit 1
      LibraryRefused           a drug library that nobody vouches for, or that was altered      exit 1
      DoseRefused              no dose is worked out: flow, adjustment or limits forbid it     exit 1
      BrokenHistory            the list of adjustments was altered                             exit 1
      BrokenJournal            records are damaged, changed or missing; has the verdict        exit 1
      WrongKey                 the pump does not have our key; nothing was sent                exit 1
"""

from __future__ import annotations

from collections.abc import Mapping

EXIT_OK = 0
EXIT_REFUSED = 1
EXIT_USAGE = 2
EXIT_NO_PUMP = 3
EXIT_COMMUNICATION = 4
EXIT_PUMP = 5
EXIT_DECLINED = 6
EXIT_OUTPUT = 7  # done, but what was told of it could not be written
EXIT_INTERRUPTED = 130

UNTOUCHED = "Nothing was sent to the pump"
NOTHING_CHANGED = "Nothing was changed"


def full_stop(text: str) -> str:
    """The sentence with its full stop, unless it ends with a mark of its own."""
    text = text.rstrip(".")
    return text if text.endswith(("?", "!")) else text + "."


class HaipumpError(Exception):
    """Base of all. `what` happened, `state` the pump is in (as far as known), `next_step` for the user."""

    exit_code = EXIT_REFUSED
    kind = "error"

    def __init__(self, what: str, state: str = UNTOUCHED, next_step: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.state = state
        self.next_step = next_step

    def __str__(self) -> str:
        return " ".join(full_stop(part) for part in (self.what, self.state, self.next_step) if part)

    def details(self) -> dict[str, object]:
        """Further facts for `--json`; subclasses add theirs."""
        return {}

    def as_json(self) -> dict[str, object]:
        """The stable object that `--json` prints for an error."""
        body: dict[str, object] = {
            "kind": self.kind,
            "what": self.what,
            "state": self.state,
            "next_step": self.next_step,
        }
        body.update(self.details())
        return {"error": body, "exit_code": self.exit_code}


class UsageError(HaipumpError):
    """What was typed cannot be used."""

    exit_code = EXIT_USAGE
    kind = "usage"


class QuantityError(UsageError):
    """Not a quantity with a unit."""

    kind = "quantity"


class InexactQuantity(QuantityError):
    """Not a whole number of the pump's units. `below` and `above` are the nearest that are, as one would type them."""

    kind = "inexact"

    def __init__(self, what: str, below: str, above: str, next_step: str) -> None:
        super().__init__(what, next_step=next_step)
        self.below = below
        self.above = above

    def details(self) -> dict[str, object]:
        return {"below": self.below, "above": self.above}


class FieldError(UsageError):
    """A field of a message is unknown, missing, or outside its range."""

    kind = "field"


class ProgrammeFileError(UsageError):
    """A programme file is wrong; the text names the place."""

    kind = "programme"


class CourseFileError(UsageError):
    """A therapy file is wrong. `problems` are all that were found, each {line, where, what, next_step}."""

    kind = "course"

    def __init__(self, what: str, next_step: str, problems: list[dict[str, object]] | None = None) -> None:
        super().__init__(what, NOTHING_CHANGED, next_step)
        self.problems = problems or []

    def details(self) -> dict[str, object]:
        return {"problems": self.problems}


class PortError(HaipumpError):
    """No pump, or no way to its port."""

    exit_code = EXIT_NO_PUMP
    kind = "port"


class NoPumpFound(PortError):
    """Nothing connected looks like a pump."""

    kind = "no_pump"


class SeveralPumps(PortError):
    """More than one pump is connected and none was named; `ports` lists them."""

    kind = "several_pumps"

    def __init__(self, what: str, next_step: str, ports: list[str]) -> None:
        super().__init__(what, next_step=next_step)
        self.ports = ports

    def details(self) -> dict[str, object]:
        return {"ports": self.ports}


class PortMissing(PortError):
    """The named port does not exist or does not answer the call."""

    kind = "port_missing"


class PortForbidden(PortError):
    """The user may not open the port."""

    kind = "port_forbidden"


class PortBusy(PortError):
    """Another program has `port`."""

    kind = "port_busy"

    def __init__(self, port: str, user: str, next_step: str = "") -> None:
        """`user`: who has it, as far as is known."""
        super().__init__(
            f"the port {port} is in use by {user}",
            "Nothing was sent to the pump, which goes on as it was",
            next_step or "close it or wait until it ends, and try again: only one at a time can speak to the pump",
        )
        self.port = port


class NotAPump(PortError):
    """Something is there but does not speak the protocol."""

    kind = "not_a_pump"


class CommunicationError(HaipumpError):
    """The line failed."""

    exit_code = EXIT_COMMUNICATION
    kind = "communication"


class AnswerTimeout(CommunicationError):
    """No answer in time. `heard` are the last bytes that came instead."""

    kind = "timeout"

    def __init__(self, what: str, state: str, next_step: str, heard: bytes = b"") -> None:
        super().__init__(what, state, next_step)
        self.heard = heard

    def details(self) -> dict[str, object]:
        return {"heard": self.heard.decode("ascii", "backslashreplace")}


class LinkLost(CommunicationError):
    """The port went away."""

    kind = "link_lost"


class OutcomeUnknown(CommunicationError):
    """It was sent, and nobody can say whether it was executed. `id` is the message's number."""

    kind = "outcome_unknown"

    def __init__(self, what: str, state: str, next_step: str, id: int) -> None:
        super().__init__(what, state, next_step)
        self.id = id

    def details(self) -> dict[str, object]:
        return {"id": self.id}


class NotExecuted(CommunicationError):
    """It was sent and lost, and the pump has proven that it was not executed."""

    kind = "not_executed"


class WrongAnswer(CommunicationError):
    """The pump normalised an order to something else than was asked. It was not committed."""

    kind = "wrong_answer"


class StopNotConfirmed(CommunicationError):
    """A stop was wanted, and nobody can say that the pump stands still. `sent`: bytes of it left this computer."""

    kind = "stop_not_confirmed"

    def __init__(self, why: str, sent: bool = True, next_step: str = "press STOP on the pump or cut its power") -> None:
        tried = f"the stop was sent, but {why}" if sent else f"the stop could not be sent: {why}"
        super().__init__(f"NOT STOPPED for certain: {tried}", "it may be delivering", next_step)
        self.sent = sent

    def details(self) -> dict[str, object]:
        return {"sent": self.sent}


class StoppedOnly(CommunicationError):
    """A stop was wanted, and the pump answered it: it stands, in `pump_state`. `why` no more can be asked of it."""

    kind = "stopped_only"

    def __init__(self, why: str, pump_state: str, state: str, next_step: str) -> None:
        super().__init__(why, f"{state}: so it answered the stop", next_step)
        self.pump_state = pump_state

    def details(self) -> dict[str, object]:
        return {"pump_state": self.pump_state}


class FlashFailed(CommunicationError):
    """Installing the firmware broke off. `half_installed`: the board has no application until it is done again."""

    kind = "flash"

    def __init__(self, what: str, state: str, next_step: str, half_installed: bool = False) -> None:
        super().__init__(what, state, next_step)
        self.half_installed = half_installed

    def details(self) -> dict[str, object]:
        return {"half_installed": self.half_installed}


class NotFlashable(HaipumpError):
    """The firmware does not go onto this board, or something else is there. Nothing was written."""

    kind = "not_flashable"


class Refused(HaipumpError):
    """The pump said no. `code` is the error code of the protocol, `fields` what came with it."""

    kind = "refused"

    def __init__(self, what: str, state: str, next_step: str, code: str, fields: Mapping[str, int | str]) -> None:
        super().__init__(what, state, next_step)
        self.code = code
        self.fields = dict(fields)

    def details(self) -> dict[str, object]:
        return {"code": self.code, "fields": self.fields}


class Declined(HaipumpError):
    """The person at the terminal said no."""

    exit_code = EXIT_DECLINED
    kind = "declined"


class Interrupted(HaipumpError):
    """Ctrl-C at the terminal."""

    exit_code = EXIT_INTERRUPTED
    kind = "interrupted"

    def __init__(self, state: str = "What the pump was told to do goes on; `haipump stop` stops it") -> None:
        super().__init__("interrupted", state)


class PumpFault(HaipumpError):
    """The pump ended something by itself."""

    exit_code = EXIT_PUMP
    kind = "pump"


class OrderInterrupted(PumpFault):
    """An order ended before it was complete. `result` says how, `stepped_nl` what was delivered of `planned_nl`; after
    a restart of the pump that is the least, and `stepped_max_nl` the most."""

    kind = "interrupted"

    def __init__(
        self,
        what: str,
        state: str,
        next_step: str,
        *,
        order: int,
        result: str,
        planned_nl: int,
        stepped_nl: int,
        stepped_max_nl: int | None = None,
    ) -> None:
        super().__init__(what, state, next_step)
        self.order = order
        self.result = result
        self.planned_nl = planned_nl
        self.stepped_nl = stepped_nl
        self.stepped_max_nl = stepped_nl if stepped_max_nl is None else stepped_max_nl

    def details(self) -> dict[str, object]:
        return {
            "order": self.order,
            "result": self.result,
            "planned_nl": self.planned_nl,
            "stepped_nl": self.stepped_nl,
            "stepped_max_nl": self.stepped_max_nl,
        }


class WrongKey(HaipumpError):
    """A locked pump did not prove that it has our key: it was locked with another one, or it is another pump."""

    kind = "wrong_key"

    def __init__(self) -> None:
        super().__init__(
            "the pump does not prove that it has this key: it was locked with another one, or is another pump",
            "Nothing was sent to it",
            "name this pump's key file with --key-file; `haipump stop` needs no key",
        )


class PlanRefused(HaipumpError):
    """A course can be read, and is wrong. `problems` are errors and warnings, each {level, line, where, what, ...}."""

    kind = "plan"

    def __init__(self, what: str, problems: list[dict[str, object]]) -> None:
        super().__init__(what, NOTHING_CHANGED, "correct the errors and check again")
        self.problems = problems

    def details(self) -> dict[str, object]:
        return {"problems": self.problems}


class LibraryRefused(HaipumpError):
    """A drug library without a good signature, or whose content is not what was signed."""

    kind = "library"

    def __init__(self, what: str, next_step: str) -> None:
        super().__init__(what, "Nothing was worked out with it", next_step)


class DoseRefused(HaipumpError):
    """No dose is worked out, and why."""

    kind = "dose"

    def __init__(self, what: str, next_step: str) -> None:
        super().__init__(what, "No dose was worked out", next_step)


class BrokenHistory(HaipumpError):
    """The list of adjustments beside a course is not the one that was written."""

    kind = "history"

    def __init__(self, what: str, next_step: str) -> None:
        super().__init__(what, NOTHING_CHANGED, next_step)


class BrokenJournal(HaipumpError):
    """Records of a journal are damaged, changed or missing; `facts` is the verdict in numbers."""

    kind = "broken_journal"

    def __init__(self, what: str, facts: Mapping[str, object]) -> None:
        super().__init__(
            what,
            "Nothing was changed; what the records say is shown as it stands",
            "keep a copy with `haipump log --to`, then find out who or what touched the flash",
        )
        self.facts = facts

    def details(self) -> dict[str, object]:
        return dict(self.facts)
