"""Settings of the pump: one row each. The wire messages, the store, the CLI and the docs are made from this table.

Owns: names, ranges and defaults. Must not: hold a value (that is `store.settings`) or know who sets it.

A row is (key, name, minimum, maximum, default, group). `key` is the number under which the value is stored and never
changes its meaning; `group` says which order changes it: "calibration", "syringe", "limits", "dose" or "options".
All values are whole numbers with the unit at the end of the name.
"""

KEY, NAME, MINIMUM, MAXIMUM, DEFAULT, GROUP = range(6)

OPTIONS = (
    # calibration: femtolitres per microstep are computed on the host from bore, lead and microsteps, rounded once
    (1, "step_fl", 100_000, 20_000_000_000, 231_147_588, "calibration"),
    (2, "bore_um", 1_000, 60_000, 21_700, "calibration"),
    (3, "lead_um", 200, 20_000, 2_000, "calibration"),
    (4, "steps_per_turn", 200, 102_400, 3_200, "calibration"),
    (5, "backlash_steps", 0, 20_000, 80, "calibration"),
    (6, "travel_steps", 0, 1_000_000_000, 0, "calibration"),  # 0: not measured, end switches decide
    # syringe: written when one is loaded
    (10, "syringe_nl", 0, 100_000_000, 0, "syringe"),  # nominal size; 0: none loaded
    (11, "syringe_max_nl_per_day", 0, 100_000_000_000, 0, "syringe"),  # highest rate for this syringe; 0: motor decides
    # limits
    (20, "max_rate_nl_per_day", 1, 100_000_000_000, 2_000_000_000, "limits"),
    (21, "max_bolus_nl", 1, 100_000_000, 5_000_000, "limits"),
    (22, "occlusion_pa", 5_000, 90_000, 69_000, "limits"),
    (23, "reservoir_low_nl", 0, 100_000_000, 2_000_000, "limits"),
    (24, "reservoir_empty_nl", 0, 100_000_000, 500_000, "limits"),
    (25, "pause_max_s", 60, 86_400, 600, "limits"),
    (26, "auto_resumes", 0, 9, 0, "limits"),  # after an occlusion, in any 10 minutes; 0: never by itself
    # options
    (40, "kvo_nl_per_day", 1, 100_000_000, 500_000, "options"),
    (41, "bolus_nl_per_day", 1_000, 100_000_000_000, 288_000_000, "options"),  # rate of an immediate bolus (0.2 mL/min)
    (42, "prime_nl_per_day", 1_000, 100_000_000_000, 1_440_000_000, "options"),  # 1 mL/min
    (43, "withdraw_nl_per_day", 1_000, 100_000_000_000, 1_440_000_000, "options"),
    (44, "start_steps_per_s", 10, 2_000, 300, "options"),  # the motor starts and stops at once at this speed
    (45, "accel_steps_per_s2", 100, 20_000, 2_000, "options"),
    (46, "max_steps_per_s", 10, 2_000, 2_000, "options"),
    (47, "silence_s", 10, 120, 120, "options"),  # an alarm can be silenced for at most two minutes
    (48, "pressure_full_pa", 10_000, 1_000_000, 100_000, "options"),  # pressure sensor: span ...
    (49, "pressure_zero_raw", 0, 65_535, 2_621, "options"),  # ... reading at 0 Pa (16 bit) ...
    (50, "pressure_span_raw", 1_000, 65_535, 58_982, "options"),  # ... and reading counts from 0 Pa to full scale
    (51, "jog_steps_per_s", 10, 2_000, 600, "options"),
    (52, "host_lost_s", 0, 86_400, 60, "options"),  # a host that has telemetry and is gone for so long; 0: never
    (53, "library_required", 0, 1, 0, "options"),  # no dose without a drug library
    # dose limits, of one drug; 0: none
    (60, "max_dose_nl", 0, 100_000_000, 0, "dose"),  # of all sources, in every window
    (61, "window_s", 600, 604_800, 86_400, "dose"),  # ... of this length
    (62, "soft_rate_nl_per_day", 0, 100_000_000_000, 0, "dose"),  # passing a soft limit needs an override and a reason
    (63, "soft_bolus_nl", 0, 100_000_000, 0, "dose"),
    (64, "soft_dose_nl", 0, 100_000_000, 0, "dose"),
    (65, "lockout_s", 0, 86_400, 0, "dose"),  # from the begin of a bolus until another one may begin
    # kept by the pump itself, never by an order
    (90, "locked", 0, 1, 0, "internal"),
    (91, "drug_1", 0, 0x7FFFFFFFFFFFFFFF, 0, "internal"),  # the limits' drug: 24 letters, eight in each number
    (92, "drug_2", 0, 0x7FFFFFFFFFFFFFFF, 0, "internal"),
    (93, "drug_3", 0, 0x7FFFFFFFFFFFFFFF, 0, "internal"),
    (94, "loaded_drug", 0, 0xFFFFFFFF, 0, "internal"),  # CRC-32 of the name of what is in the syringe
    (95, "library_seal", 0, 0x7FFFFFFFFFFFFFFF, 0, "internal"),  # drug library and its seal, see `library`; 0: none
)

# While one of these is set, doses are watched.
DOSE_LIMITS = ("max_dose_nl", "soft_rate_nl_per_day", "soft_bolus_nl", "soft_dose_nl", "lockout_s", "drug_1")


def rows(group):
    """The rows of one group, in table order."""
    return [row for row in OPTIONS if row[GROUP] == group]


def defaults():
    """{name: default} of every row."""
    return {row[NAME]: row[DEFAULT] for row in OPTIONS}


def check(name, value):
    """None when `value` fits the row of `name`, else (minimum, maximum); an unknown name raises KeyError."""
    for row in OPTIONS:
        if row[NAME] == name:
            return None if row[MINIMUM] <= value <= row[MAXIMUM] else (row[MINIMUM], row[MAXIMUM])
    raise KeyError(name)
