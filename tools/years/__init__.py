"""Five years of alternating fills at one emulated pump, in one command that may be ended at any time.

Owns: what happens in the years, the checkpoints, the checks. Must not: know more of firmware, host tools and plant than
their own users do, but for the power and the truth. Teaching and bench material, not for clinical use.
"""
