"""A course of hepatic artery infusion on paper: plan, drug library, dose and adjustment, before any pump is asked.

Owns: the sentence that stands wherever any of it is shown. Must not: talk to a pump; the arithmetic is exact, and
nothing in it is advice.
"""

NOT_CLINICAL = "Teaching and bench material, not for clinical use."
