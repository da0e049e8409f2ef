"""Stopper, barrel and line: pressure and volumes, solved in closed form between events.

Owns: the pressure at the pump's outlet, the stopper, the four integrals. Must not: know the motor, sensors or noise.

One node at pressure `p` (Pa above ambient) with compliance c; the stopper is held to the pusher by a spring, in volume
terms a compliance cs = area^2 / k. Three regimes:

    STUCK   |spring - p| below static friction, the stopper rests:  c p' = q - out - leak
    SLIDE   spring = p + sign * kinetic friction:  (c + cs) p' = q - out - leak,  stopper volume' = -cs p'
    FREE    the plunger has left the pusher:  p = -sign * kinetic friction,  stopper volume' = out + leak - q

with out = (p - back) * g_line, leak = p * g_leak, q the thermal expansion of the contents. All inputs are constant
between events, so p is an exponential (a line when nothing flows out), its integral too, and every change of regime
is a level of p whose time is a logarithm. Compliance depends on p in pieces (air, cavitation); the ends of a piece are
events as well. Events fall on whole microseconds, at or just after the exact moment.

Reading changes nothing: `pressure` and `totals` evaluate from the last event.
Units: nL, Pa, us, nL/us. Sign +1 is towards the patient.
"""

from __future__ import annotations

from math import exp, expm1, inf, log

from haipump_emulator.plant.params import PlantParams

STUCK, SLIDE, FREE = 0, 1, 2
REGIMES = ("stuck", "sliding", "free")
NEVER_US = 1 << 62

# What an event is.
_CELL, _SLIP_FORWARD, _SLIP_BACK, _CONTACT, _WALL, _STICK = range(6)

CAVITATION_PA = -95_000.0  # vapour and dissolved gas come out: pressure falls no further ...
CAVITATION_NL_PER_PA = 1e5  # ... than this compliance lets it
AIR_CELL_PA = 5_000.0  # width of a piece of the air's compliance curve
AIR_TOP_PA = 1_000_000.0
REST_PA = 1e-6  # a stopper that would slip by less than this stays: rounding would let it slip and stick for ever
EVENTS_MAX = 1_000_000  # in one call; more means that the model chatters
SETTLE_MAX = 1_000  # pieces in one movement


class ModelError(RuntimeError):
    """The model doesn't come to rest: a bug or senseless parameters."""


def storage_curve(compliance: float, air_nl: float, ambient_pa: float) -> tuple[list[float], list[float]]:
    """Edges of the pieces (Pa) and compliance in each (nL/Pa, one more than edges).

    The air's part is the exact isothermal volume change over a piece divided by its width.
    """
    edges = [CAVITATION_PA]
    pieces = [CAVITATION_NL_PER_PA]
    if air_nl:
        while edges[-1] < AIR_TOP_PA:
            low, high = edges[-1], edges[-1] + AIR_CELL_PA
            # V(p) = air * ambient / (ambient + p)
            pieces.append(compliance + air_nl * ambient_pa / ((ambient_pa + low) * (ambient_pa + high)))
            edges.append(high)
    pieces.append(compliance)
    return edges, pieces


def _backwards(t_us: int, now_us: int) -> ValueError:
    return ValueError(f"time can't go back: {t_us} us asked for, the plant is at {now_us} us")


class Fluid:
    """State at `t_us`, the time of the last event; `next_us` is when something happens by itself."""

    __slots__ = (
        "_air_edges",
        "_air_pieces",
        "_area_m2",
        "_back",
        "_bias",
        "_c",
        "_ce",
        "_cell",
        "_cs",
        "_friction",
        "_g",
        "_g_leak",
        "_g_line",
        "_high",
        "_kinetic",
        "_low",
        "_p",
        "_p_inf",
        "_q",
        "_reservoir_max",
        "_sign",
        "_squeeze",
        "_static",
        "_stick_flow",
        "_storage",
        "_stored_base",
        "_tau",
        "_wall",
        "_why",
        "arrived",
        "captured",
        "leaked",
        "moved",
        "next_us",
        "pulse_c",
        "regime",
        "reservoir",
        "slips",
        "t_us",
        "thermal",
    )

    def __init__(self, params: PlantParams, area_mm2: float, back_pa: float) -> None:
        syringe, line = params.syringe, params.line
        self._area_m2 = area_mm2 * 1e-6
        # area^2 / k: mm4 / (N/mm) = mm5/N, and 1 mm3 per N/mm2 is 1e3 nL per 1e6 Pa
        self._cs = area_mm2 * area_mm2 / syringe.spring_n_per_mm * 1e-3
        self._static = syringe.friction_static_n / self._area_m2
        self._kinetic = syringe.friction_kinetic_n / self._area_m2
        self._friction = self._static > 0
        slips = syringe.friction_static_n > syringe.friction_kinetic_n
        # um/s * mm2 = nL/s. Without a drop of friction there is no stick-slip: it stops only when at rest.
        self._stick_flow = syringe.stick_speed_um_per_s * area_mm2 * 1e-6 if slips else 0.0
        self._air_edges, self._air_pieces = storage_curve(line.compliance_nl_per_pa, line.air_nl, line.ambient_pa)
        self._g_line = 1e-6 / line.resistance_pa_s_per_nl
        self._g_leak = 0.0
        self._back = back_pa
        self._q = 0.0
        self._reservoir_max = float(syringe.capacity_nl + syringe.overfill_nl)
        self.captured = syringe.captured
        self.t_us = 0
        self.next_us = NEVER_US
        self.arrived = self.leaked = self.moved = self.thermal = 0.0
        self.slips = 0
        self._p = back_pa
        self._wall = self._sign = self._why = 0
        self._bias = 0.0
        self._storage = line.compliance_nl_per_pa, line.ambient_pa
        self._stored_base = self._content(back_pa)
        self._select_cell()
        self.refill(float(syringe.initial_nl))

    # -- reading -----------------------------------------------------------------------------------------------------

    def pressure(self, t_us: int) -> float:
        """Pressure at the outlet, t_us <= t <= next_us. Changes nothing."""
        dt = t_us - self.t_us
        if dt <= 0 or self.regime == FREE:
            if dt < 0:
                raise _backwards(t_us, self.t_us)
            return self._p
        if self._g:
            return self._p_inf + (self._p - self._p_inf) * exp(-dt / self._tau)
        return self._p + self._q * dt / self._ce

    def totals(self, t_us: int) -> tuple[float, float, float, float, float, float]:
        """(moved by the stopper, thermal, arrived, stored, leaked, reservoir) at t_us. Changes nothing.

        Each has its own integral; `stored` is the storage curve's content at the pressure then.
        """
        fall, arrived, leaked, moved = self._flow(t_us - self.t_us)
        thermal = self.thermal + self._q * (t_us - self.t_us)
        stored = self._content(self._p - fall) - self._stored_base
        return self.moved + moved, thermal, self.arrived + arrived, stored, self.leaked + leaked, self.reservoir - moved

    def _content(self, p: float) -> float:
        """Volume between no pressure and p on the storage curve."""
        total, edges, pieces = 0.0, self._air_edges, self._air_pieces
        low, high = (0.0, p) if p > 0 else (p, 0.0)
        floor = -inf
        for i, piece in enumerate(pieces):
            top = edges[i] if i < len(edges) else inf
            total += piece * max(0.0, min(high, top) - max(low, floor))
            floor = top
        return total if p > 0 else -total

    def spring_pa(self, t_us: int) -> float:
        """Spring force over the stopper's area, t_us <= t <= next_us. Changes nothing."""
        if self.regime == SLIDE:
            return self.pressure(t_us) + self._bias
        return self._squeeze / self._cs if self.captured or self._squeeze > 0 else 0.0

    def thrust_n(self, t_us: int) -> float:
        """Force of the pusher on the plunger; negative pulls."""
        return self.spring_pa(t_us) * self._area_m2

    @property
    def leaking(self) -> bool:
        """A leak is open."""
        return self._g_leak > 0

    def pulse_response(self, omega_per_s: float) -> complex:
        """Pressure at the node per pressure of a pulse in the artery; changes with `pulse_c` and the conductances.

        `pulse_c` is the compliance that a pulse meets: a stopper with friction does not follow it.
        """
        if not self._g_line or not self.pulse_c:
            return 0j
        return self._g_line / complex(self._g, omega_per_s * 1e-6 * self.pulse_c)

    # -- time --------------------------------------------------------------------------------------------------------

    def run_events(self, t_us: int) -> None:
        """Let everything happen that happens by itself until t_us, each at its own time."""
        for _ in range(EVENTS_MAX):
            if self.next_us > t_us:
                return
            self._integrate(self.next_us)
            self._happen()
        raise ModelError(f"more than {EVENTS_MAX} events before {t_us} us: the stopper doesn't come to rest")

    def advance(self, t_us: int) -> None:
        """Integrate to t_us; ValueError when that lies in the past."""
        if t_us >= self.next_us:
            self.run_events(t_us)
        if t_us > self.t_us:
            self._integrate(t_us)
        elif t_us < self.t_us:
            raise _backwards(t_us, self.t_us)

    def _flow(self, dt: int) -> tuple[float, float, float, float]:
        """(fall of pressure, arrived, leaked, moved) over dt from the last event."""
        if self.regime == FREE:
            arrived = self._g_line * (self._p - self._back) * dt
            leaked = self._g_leak * self._p * dt
            return 0.0, arrived, leaked, self._stopper_flow() * dt
        if self._g:
            tau, p_inf = self._tau, self._p_inf
            fall = (p_inf - self._p) * expm1(-dt / tau)
            above = fall * tau  # integral of p - p_inf
            arrived = self._g_line * ((p_inf - self._back) * dt + above)
            leaked = self._g_leak * (p_inf * dt + above) if self._g_leak else 0.0
        else:
            fall = -self._q * dt / self._ce
            arrived = leaked = 0.0
        return fall, arrived, leaked, self._cs * fall if self.regime == SLIDE else 0.0

    def _integrate(self, t_us: int) -> None:
        dt = t_us - self.t_us
        fall, arrived, leaked, moved = self._flow(dt)
        self.t_us = t_us
        self._p -= fall
        self.arrived += arrived
        if self._g_leak:
            self.leaked += leaked
        if self._q:
            self.thermal += self._q * dt
        if moved:
            self.moved += moved
            self.reservoir -= moved
            if self.regime == FREE:
                self._squeeze -= moved

    # -- causes ------------------------------------------------------------------------------------------------------

    def push(self, volume_nl: float) -> None:
        """The pusher moves by `volume_nl` at the time of the last event."""
        if self.regime == SLIDE and (volume_nl * self._sign >= 0 or not self._friction):
            p = self._p + volume_nl / self._ce
            moved = self._c * (p - self._p)
            left = self.reservoir - moved
            if self._low < p < self._high and 0 < left < self._reservoir_max and (self.captured or p + self._bias > 0):
                self._p = p
                self.moved += moved
                self.reservoir = left
                self._keep_on()
                return
        self._materialise()
        self._squeeze += volume_nl
        regime = self.regime
        if regime == FREE and self._squeeze <= 0:
            self._predict()
        elif regime != STUCK and volume_nl * self._sign >= 0:
            self._settle(self._sign)
        else:
            self._stop_or_slip()

    def set_line(self, resistance_pa_s_per_nl: float | None) -> None:
        """Resistance to the artery; None: closed."""
        self._g_line = 1e-6 / resistance_pa_s_per_nl if resistance_pa_s_per_nl is not None else 0.0
        self._tune()

    def set_leak(self, resistance_pa_s_per_nl: float | None) -> None:
        """Resistance to ambient; None: tight."""
        self._g_leak = 1e-6 / resistance_pa_s_per_nl if resistance_pa_s_per_nl is not None else 0.0
        self._tune()

    def set_back(self, back_pa: float) -> None:
        """Pressure that the line's end puts against the outlet (artery, less the column of water above it)."""
        self._back = back_pa
        self._tune()

    def set_expansion(self, flow_nl_per_us: float) -> None:
        """Volume that the contents gain over the barrel by warming."""
        self._q = flow_nl_per_us
        self._tune()

    def set_air(self, air_nl: float) -> None:
        """A bubble of this volume at ambient pressure, in place of the one there was; it came at today's pressure."""
        compliance, ambient_pa = self._storage
        stored = self._content(self._p) - self._stored_base
        self._air_edges, self._air_pieces = storage_curve(compliance, air_nl, ambient_pa)
        self._stored_base = self._content(self._p) - stored
        self._select_cell()
        self._tune()

    def capture(self, on: bool) -> None:
        """Hold the plunger (where it is) or let it go."""
        self._materialise()
        if on and not self.captured:
            self._squeeze = max(self._squeeze, 0.0)
        self.captured = on
        self._stop_or_slip()

    def refill(self, volume_nl: float) -> None:
        """Another syringe of the same kind with `volume_nl` in it, brought to the line's pressure before it is opened
        (stopcock), pusher against the plunger."""
        self.reservoir = volume_nl
        self._wall = 0
        self._bias = 0.0
        self._sign = 0
        self.regime = STUCK
        self._squeeze = self._cs * (self._p if self.captured else max(0.0, self._p))
        self._stop_or_slip()

    # -- regimes -----------------------------------------------------------------------------------------------------

    def _materialise(self) -> None:
        """In SLIDE the spring follows from the pressure; make its squeeze explicit before anything breaks that."""
        if self.regime == SLIDE:
            self._squeeze = self._cs * (self._p + self._bias)

    def _stop_or_slip(self) -> None:
        """Squeeze or friction changed: stay or become stuck, or slip."""
        spring = self._squeeze / self._cs if self.captured or self._squeeze > 0 else 0.0
        excess = spring - self._p
        if excess > self._static and self._wall <= 0:
            self._slip(1)
        elif excess < -self._static and self._wall >= 0:
            self._slip(-1)
        elif self._friction or self._wall:
            self.regime = STUCK
            self._sign = 0
            self._tune()
        else:
            self._settle(0)

    def _slip(self, sign: int) -> None:
        self.slips += self._friction
        self._wall = 0
        self._settle(sign)

    def _settle(self, sign: int) -> None:
        """Move the stopper, in no time, until spring and pressure differ by kinetic friction in direction `sign`."""
        self._sign = sign
        self._bias = bias = sign * self._kinetic
        for _ in range(SETTLE_MAX):
            excess = self._squeeze / self._cs if self.captured or self._squeeze > 0 else 0.0
            excess -= self._p + bias
            if not excess:
                break
            touching = self.captured or self._squeeze > 0 or (self._squeeze == 0 and excess < 0)
            move = excess / ((1 / self._cs if touching else 0.0) + 1 / self._c)
            move, reached = self._limit(move, touching)
            self._p += move / self._c
            self.moved += move
            self.reservoir -= move
            self._squeeze -= move
            if reached == _CELL:
                self._cell += 1 if excess > 0 else -1  # an edge underfoot is crossed with no move
                self._enter_cell()
            elif reached == _CONTACT:
                self._squeeze = 0.0
            elif reached == _WALL:
                self._wall = 1 if excess > 0 else -1
                self.regime = STUCK
                self._tune()
                return
            else:
                break
        else:
            raise ModelError("the stopper doesn't settle")
        self.regime = SLIDE if self.captured or self._squeeze > 0 or (self._squeeze == 0 and sign <= 0) else FREE
        self._tune()

    def _limit(self, move: float, touching: bool) -> tuple[float, int]:
        """`move` cut at the first of the end of the barrel, the end of a piece of the curve, a change of contact."""
        if move > 0:
            bounds = [(self.reservoir, _WALL), ((self._high - self._p) * self._c, _CELL)]
            if touching and not self.captured:
                bounds.append((self._squeeze, _CONTACT))
            bound, reached = min(bounds)
            return (max(bound, 0.0), reached) if bound <= move else (move, -1)
        bounds = [(self.reservoir - self._reservoir_max, _WALL), ((self._low - self._p) * self._c, _CELL)]
        if not touching:
            bounds.append((self._squeeze, _CONTACT))
        bound, reached = max(bounds)
        return (min(bound, 0.0), reached) if bound >= move else (move, -1)

    def _select_cell(self) -> None:
        self._cell = sum(edge <= self._p for edge in self._air_edges)
        self._enter_cell()

    def _enter_cell(self) -> None:
        edges, cell = self._air_edges, self._cell
        self._c = self._air_pieces[cell]
        self._low = edges[cell - 1] if cell else -inf
        self._high = edges[cell] if cell < len(edges) else inf

    def _tune(self) -> None:
        """Work out the constants of the regime; let the stopper stick when it has no speed; say what comes next."""
        self._g = g = self._g_line + self._g_leak
        self._ce = self._c + self._cs if self.regime == SLIDE else self._c
        self.pulse_c = 0.0 if self.regime == FREE else self._c if self._friction else self._ce
        if g:
            self._p_inf = (self._g_line * self._back + self._q) / g
            self._tau = self._ce / g
        else:
            self._p_inf = self._p
            self._tau = inf
        self._keep_on()

    def _stopper_flow(self) -> float:
        """Stopper's speed as volume, now."""
        net = self._g_line * (self._p - self._back) + self._g_leak * self._p - self._q
        return net * self._cs / self._ce if self.regime == SLIDE else net

    def _keep_on(self) -> None:
        """Stick when the stopper has no speed left, and say what comes next."""
        if self.regime != STUCK and self._friction and self._sign * self._stopper_flow() <= self._stick_flow:
            self._materialise()
            self.regime = STUCK
            self._sign = 0
            self._tune()
        else:
            self._predict()

    # -- what comes next ---------------------------------------------------------------------------------------------

    def _predict(self) -> None:
        """Set `next_us` and the reason."""
        if self.regime == FREE:
            delay = self._free_delay()
        else:
            falling = self._p_inf < self._p if self._g else self._q < 0
            level, self._why = self._level_below() if falling else self._level_above()
            ahead = self._p - level if falling else level - self._p
            if self._g:
                rest = level - self._p_inf if falling else self._p_inf - level
                if rest <= (REST_PA if self._why in (_SLIP_FORWARD, _SLIP_BACK) else 0.0):
                    delay = inf
                else:
                    delay = self._tau * log(abs(self._p - self._p_inf) / rest) if ahead > 0 else 0.0
            else:
                delay = max(0.0, ahead) * self._ce / abs(self._q) if self._q else inf
        self.next_us = self.t_us + int(delay) + 1 if delay < NEVER_US else NEVER_US

    def _level_below(self) -> tuple[float, int]:
        """The pressure at which a fall ends, and why."""
        level, why = self._low, _CELL
        if self.regime == STUCK:
            slip = self.spring_pa(self.t_us) - self._static
            if self._wall <= 0 and slip > level:
                level, why = slip, _SLIP_FORWARD
            return level, why
        if not self.captured and -self._bias > level:
            level, why = -self._bias, _CONTACT
        wall = self._p - self.reservoir / self._cs
        if wall > level:
            level, why = wall, _WALL
        if self._stick_flow and self._g:
            stick = self._p_inf + self._stick_flow * self._tau / self._cs
            if stick > level:
                level, why = stick, _STICK
        return level, why

    def _level_above(self) -> tuple[float, int]:
        """The pressure at which a rise ends, and why."""
        level, why = self._high, _CELL
        if self.regime == STUCK:
            slip = self.spring_pa(self.t_us) + self._static
            if self._wall >= 0 and slip < level:
                level, why = slip, _SLIP_BACK
            return level, why
        wall = self._p + (self._reservoir_max - self.reservoir) / self._cs
        if wall < level:
            level, why = wall, _WALL
        if self._stick_flow and self._g:
            stick = self._p_inf - self._stick_flow * self._tau / self._cs
            if stick < level:
                level, why = stick, _STICK
        return level, why

    def _free_delay(self) -> float:
        flow = self._stopper_flow()
        if flow > 0:
            self._why = _WALL
            return self.reservoir / flow
        if flow < 0:
            contact, wall = self._squeeze / flow, (self.reservoir - self._reservoir_max) / flow
            self._why = _CONTACT if contact <= wall else _WALL
            return min(contact, wall)
        return inf

    def _happen(self) -> None:
        """The predicted event is now."""
        why = self._why
        self._materialise()
        if why == _SLIP_FORWARD:
            self._slip(1)
        elif why == _SLIP_BACK:
            self._slip(-1)
        elif why == _CONTACT:
            self._settle(self._sign)
        elif why == _CELL:
            self._cross_cell()
        else:
            if why == _WALL:
                self._hit_wall()
            self.regime = STUCK
            self._sign = 0
            self._tune()

    def _hit_wall(self) -> None:
        """The stopper is at an end of the barrel; what overshot it in the last microsecond goes back."""
        self._wall = 1 if self.reservoir < self._reservoir_max / 2 else -1
        over = -self.reservoir if self._wall > 0 else self._reservoir_max - self.reservoir
        self.moved -= over
        self.reservoir += over
        self._squeeze += over
        self._p -= over / self._c

    def _cross_cell(self) -> None:
        """Enter the next piece of the storage curve; what overshot the edge keeps its volume."""
        up = self._p >= self._high
        edge, before = (self._high, self._c) if up else (self._low, self._c)
        self._cell += 1 if up else -1
        self._enter_cell()
        self._p = edge + (self._p - edge) * before / self._c
        if self.regime == SLIDE:
            self._settle(self._sign)
        else:
            self._tune()
