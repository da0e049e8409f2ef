"""Campaigns: many lives of a pump, each drawn from a seed, under faults, against invariants of the plant's truth.

Owns: the names that others import. Must not: import the command line.
"""

from haipump_emulator.campaign.life import Life, live
from haipump_emulator.campaign.plan import Plan, draw

__all__ = ["Life", "Plan", "draw", "live"]
