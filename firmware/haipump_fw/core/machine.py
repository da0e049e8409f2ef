"""The interpreter of `core.states`: one gate through which the state changes.

The table is read through at every event: that takes half a millisecond, and a lookup made of it would take 13 kB.

Owns: the current state. Must not: act; the app does that after `fire` has said what happened.
"""

from haipump_fw.core.states import EVENTS, REFUSED, STATES, TRANSITIONS


class NotAllowed(Exception):
    """The table refuses the event in this state; `why` says what to do first."""

    def __init__(self, event, state, why):
        super().__init__(event, state, why)
        self.event = event
        self.state = state
        self.why = why


class Machine:
    """`fire(event)` moves `state` as the table says; `conditions` is an object whose attributes answer CONDITIONS."""

    def __init__(self, conditions, state="self_test"):
        self.conditions = conditions
        self.state = state

    def check(self, event):
        """Raise NotAllowed when `event` would be refused now, KeyError for one that is not in the table; changes
        nothing."""
        if event not in EVENTS:
            raise KeyError(event)
        for refused, states, why in REFUSED:
            if refused == event and self.state in states:
                raise NotAllowed(event, self.state, why)

    def fire(self, event):
        """Returns the state before, or None when the table ignores the event here. Raises NotAllowed when refused."""
        self.check(event)
        before = self.state
        ignored = True
        for trigger, sources, dest, condition in TRANSITIONS:
            if trigger == event and before in sources:
                if condition is None or getattr(self.conditions, condition)():
                    self.state = dest
                    return before
                ignored = False
        if ignored:
            return None
        raise NotAllowed(event, before, "nothing to go on with")

    def index(self):
        """Number of the state, for the journal."""
        return STATES.index(self.state)


def pairs():
    """Every (state, event), for tests and documents."""
    return [(state, event) for state in STATES for event in EVENTS]
