"""All mutants of the firmware.

Owns: their order. Must not: add any itself.
"""

from tests.mutants import dose, line, safety

MUTANTS = (*dose.MUTANTS, *safety.MUTANTS, *line.MUTANTS)
