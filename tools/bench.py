"""The figures that this project promises, measured: `python -m tools.bench [--only NAME]...`, or `make bench`.

Owns: the measurements, one function each, registered with the bar that it has to reach. Must not: judge, print or
write; `tools.figures` does that. A measurement returns its value in the unit it registers, and measures the code as
it ships: no shortcut that a user does not have.
"""

import argparse
import sys

from tools import figures
from tools.gendocs import ROOT

REGISTRY = figures.Registry()


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0 when every bar was reached."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench", description="Measure the figures we promise.")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="this figure; may be repeated")
    parser.add_argument("--list", action="store_true", help="show the names and stop")
    options = parser.parse_args(arguments)
    if options.list:
        for measurement in REGISTRY.measurements.values():
            print(f"{measurement.name:24} {measurement.what}")
        return 0
    try:
        return figures.run(REGISTRY, ROOT / "build" / "bench.json", options.only)
    except ValueError as error:
        parser.error(str(error))


if __name__ == "__main__":
    sys.exit(main())
