"""The interpreter of `core.states`: one gate through which the state changes.

Owns: the current state. Must not: act; the app does that after `fire` has said what happened.
"""

from haipump_fw.core.states import EVENTS, IGNORED, REFUSED, STATES, TRANSITIONS


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
        self._rows = {}
        for event, sources, dest, condition in TRANSITIONS:
            for source in sources:
                self._rows.setdefault((source, event), []).append((dest, condition))
        for event, states, why in IGNORED:
            for source in states:
                self._rows[(source, event)] = why
        self._refused = {}
        for event, states, why in REFUSED:
            for source in states:
                self._refused[(source, event)] = why

    def check(self, event):
        """Raise NotAllowed when `event` would be refused now; changes nothing."""
        why = self._refused.get((self.state, event))
        if why is not None:
            raise NotAllowed(event, self.state, why)

    def fire(self, event):
        """Returns the state before, or None when the table ignores the event here. Raises NotAllowed when refused."""
        self.check(event)
        rows = self._rows[(self.state, event)]
        if isinstance(rows, str):
            return None
        for dest, condition in rows:
            if condition is None or getattr(self.conditions, condition)():
                before = self.state
                self.state = dest
                return before
        raise NotAllowed(event, self.state, "nothing to go on with")

    def index(self):
        """Number of the state, for the journal."""
        return STATES.index(self.state)


def pairs():
    """Every (state, event), for tests and documents."""
    return [(state, event) for state in STATES for event in EVENTS]
