"""The `haipump` command. `main` is its entry point, `app` what typer makes completion and reference from.

Owns: what Ctrl-C does while the command's own modules are still read, which takes a moment. Must not: know any command.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from haipump.cli.root import app

__all__ = ["app", "main"]

EXIT_INTERRUPTED = 130  # as in `errors`, which is not read yet


def main(args: list[str] | None = None) -> None:
    """The entry point."""
    try:
        from haipump.cli import root
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted before anything was sent: the pump goes on as it was.\n")
        sys.exit(EXIT_INTERRUPTED)
    root.main(args)


def __getattr__(name: str) -> Any:
    if name == "app":
        from haipump.cli.root import app

        return app
    raise AttributeError(f"module {__name__} has no attribute {name}")


def __dir__() -> list[str]:
    return __all__  # typer looks here for the application
