"""The programmable pump and the constant-flow implant through the same fortnight, in the same patient.

Owns: nothing itself; `run` makes the comparison, `figure` draws it. Must not: be needed by anything but its command.
"""
