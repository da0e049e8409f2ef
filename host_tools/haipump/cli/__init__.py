"""The `haipump` command. `main` is its entry point, `app` what typer makes completion and reference from."""

from haipump.cli.root import app, main

__all__ = ["app", "main"]
