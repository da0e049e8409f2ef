"""Relief: what follows a stop by an occlusion. The plunger is drawn back until the pressure is what it was before, so
that a line which opens gives no bolus; later the pump may go on by itself, as often as `auto_resumes` allows.

Owns: how far back, what that means for the totals, when and what is resumed. Loaded when one is needed, and freed again
(`App`). Must not: move anything because an alarm is acknowledged; boluses and programmes are never resumed.

What was pushed since the pressure began to rise may not have arrived: the line may have been closed all the time, or
only at the end (readings are kept 72 s apart). So many steps are taken out of the delivered dose, and make the range of
the totals wider: its upper end stays where the screw was. Once the pressure is back, no more of them than were drawn
back are left out. The rest of the way back (play of the nut, spring and friction of the plunger) becomes
`Delivery.slack`: whatever moves forward next takes it up fast. The deduction stands in the journal before anything
moves.
"""

from haipump_fw import ports as contract
from haipump_fw.const import const
from haipump_fw.core import alarms as alarm_table
from haipump_fw.core import profiles
from haipump_fw.core.states import DELIVERING
from haipump_fw.core.units import FL_PER_NL, US_PER_S
from haipump_fw.delivery import BACKOFF, BASAL, KVO, new_order

TRAVEL_MAX_UM = const(2_000)  # the reverse budget: what was drawn back and not yet taken up again is never more
ABOVE_PA = const(2_500)  # so near to the pressure before is near enough: the plunger moves in jerks
STEPS_PER_S = const(100)
RESUME_S = const(60)  # from the stop to a start by itself
WITHIN_S = const(600)  # `auto_resumes` counts in any stretch of this length


def budget(values):
    """Steps that may be drawn back at most."""
    return TRAVEL_MAX_UM * values["steps_per_turn"] // values["lead_um"]


def _other(app, trait):
    """An alarm with this trait, but the occlusion's, stands."""
    return any(
        [
            row[alarm_table.TRAITS] & trait and row[alarm_table.NAME] != "occlusion" and app.alarms.phase[i]
            for i, row in enumerate(alarm_table.ALARMS)
        ]
    )


def begin(app, before, basal):
    """The motor has been stopped by an occlusion in state `before`; `basal` was the basal order."""
    if before not in DELIVERING and before != "priming":
        return
    delivery, values, watch = app.delivery, app.values, app.occlusion
    foot_raw, foot_steps = watch.foot()
    raw = app.supervision.pressure_raw
    pushed = delivery.net_steps - foot_steps if foot_steps is not None else 0
    watch.clear()
    watch.relief_raw = foot_raw + ABOVE_PA * values["pressure_span_raw"] // values["pressure_full_pa"]
    rest = _other(app, alarm_table.STOP) or app.storage.problem is not None
    most = budget(values)
    deduct = 0
    if before in DELIVERING:
        if raw > watch.relief_raw:
            deduct = max(0, min(pushed, app.ledger.stepped_nl(0) * FL_PER_NL // values["step_fl"], most))
            _doubt(app.ledger, deduct)
        if not rest:
            watch.resume_at = _resumption(app, basal)
    steps = most - max(0, delivery.slack - delivery.backlash)
    held = app.ports.inputs.read() & contract.IN_CAPTURED
    if rest or steps <= 0 or raw <= watch.relief_raw or not held:
        app.commit()
        return
    watch.deduct = deduct, pushed, raw - foot_raw
    limits = delivery.limits
    rate = min(STEPS_PER_S, limits.start) * limits.step_q // US_PER_S
    order = new_order(0, BACKOFF, 0, rate)
    order.volume_q = steps * limits.step_q
    order.top = rate
    app.begin(order, "relieve", profiles.volume_at_rate(order.volume_q, rate, limits))


def _doubt(ledger, steps):
    """So many steps of the dose may not have arrived; less than none: they have."""
    told_nl = ledger.stepped_nl(0)
    ledger.steps -= steps
    ledger.unsure_nl += told_nl - ledger.stepped_nl(0)


def close(app, order):
    """The back-off is over, be it complete or not: what it did is booked. What was pushed into a closed line came back
    with it; of a line that was closed only in the end nothing can be learned."""
    delivery, watch = app.delivery, app.occlusion
    deduct, pushed, rise = watch.deduct
    drawn = min(deduct, order.booked)
    if app.supervision.pressure_raw <= watch.relief_raw:
        _doubt(app.ledger, drawn - deduct)
        if pushed <= order.booked:
            watch.learn(pushed, rise)
    delivery.slack += order.booked - drawn
    delivery.net_steps += order.booked - drawn
    if watch.resume_at is not None and watch.resume_at[3]:  # the volume that is left has grown
        at_s, source, rate, left_q = watch.resume_at
        watch.resume_at = at_s, source, rate, left_q + drawn * delivery.limits.step_q


def _resumption(app, basal):
    """(uptime in s, source, nL/day, quanta left) of the basal order that may be resumed, None when none may."""
    now_s = app.clock.s
    app.occlusion.resumed = [at_s for at_s in app.occlusion.resumed if now_s - at_s < WITHIN_S]
    if basal is None or basal.source not in (BASAL, KVO) or len(app.occlusion.resumed) >= app.values["auto_resumes"]:
        return None
    step_q = app.delivery.limits.step_q
    left_q = 0
    if basal.volume_q:
        left_q = basal.volume_q - basal.booked * step_q
        if left_q < step_q:
            return None
    return now_s + RESUME_S, basal.source, basal.rate, left_q


def resume(app):
    """It is time to go on with the basal order. The alarm stands until somebody acknowledges it."""
    _, source, rate, left_q = app.occlusion.resume_at
    app.occlusion.resume_at = None
    held = app.ports.inputs.read() & contract.IN_CAPTURED
    if _other(app, alarm_table.NO_START) or app.storage.problem is not None or not held:
        return
    app.occlusion.resumed.append(app.clock.s)
    limits = app.delivery.limits
    order = new_order(0, source, 0, rate)
    order.volume_q = left_q
    order.top = rate
    flow = profiles.volume_at_rate(left_q, rate, limits) if left_q else profiles.rate(rate, limits)
    app.begin(order, "resume_rate", flow)
