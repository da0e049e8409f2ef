"""The commands `haipump therapy library show|sign|verify`.

Owns: their options and what they print. Must not: decide whether a library is taken; `haipump.therapy.library` does.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Annotated

import typer

from haipump import keyfiles
from haipump.cli import therapy_views
from haipump.cli.frame import Cli, command
from haipump.errors import UsageError
from haipump.therapy import NOT_CLINICAL, library, signing

PANEL = "Therapy"
app = typer.Typer(name="library", help="The drug library: limits, stability, who vouches for it.", no_args_is_help=True)

FileArgument = Annotated[Path | None, typer.Argument(metavar="[FILE]", help="A library; without: the packaged one.")]
KeyOption = Annotated[
    Path | None, typer.Option("--library-key", envvar="HAIPUMP_LIBRARY_KEY", help="The key that it was signed with.")
]


def register(parent: typer.Typer) -> None:
    parent.add_typer(app, name="library", rich_help_panel=PANEL)


def show(
    cli: Cli,
    file: FileArgument = None,
    drug: Annotated[str | None, typer.Option(help="Everything about one drug, with the sources.")] = None,
    library_key: KeyOption = None,
) -> None:
    """Shows a drug library that is in order: every drug with its limits."""
    taken = library.load(file, keyfiles.read_key(library_key) if library_key else None)
    if drug is not None and drug not in taken.drugs:
        known = ", ".join(taken.drugs)
        raise UsageError(f'"{drug}" is not in the library', next_step=f"there are: {known}")
    cli.result(therapy_views.library_json(taken))
    cli.say(therapy_views.drug_view(taken.drugs[drug]) if drug else therapy_views.library_view(taken))
    cli.say(f"[dim]{NOT_CLINICAL}[/]")


def verify(cli: Cli, file: FileArgument = None, library_key: KeyOption = None) -> None:
    """Checks that a library is what was signed, with the key. Exit code 1 when it is not."""
    taken = library.load(file, keyfiles.read_key(library_key) if library_key else None)
    cli.result({"library": taken.name, "version": taken.version, "sha256": taken.sha256, "vouched": taken.vouched})
    cli.say(f"[green]{taken.name}[/], version {taken.version}, is unaltered.")
    cli.say(f"Vouched for by {taken.vouched}.")
    cli.say(f"SHA-256 {taken.sha256}")


def sign(
    cli: Cli,
    file: Annotated[Path, typer.Argument(help="The library that you have read.")],
    by: Annotated[str, typer.Option(help="Who vouches for it.")],
    library_key: KeyOption = None,
    new_key: Annotated[Path | None, typer.Option(help="Make a key in this new file, and sign with it.")] = None,
) -> None:
    """Signs a library: HMAC-SHA256 over its content, in a file beside it.

    Who has the key can check and can sign. It tells an altered or exchanged file; it does not prove who signed.
    """
    if (library_key is None) == (new_key is None):
        raise UsageError("there is no key", next_step="name one with --library-key, or make one with --new-key FILE")
    found = library.unsigned(file)
    cli.say(therapy_views.library_view(found))
    cli.confirm(f"Sign these limits as {by}?")
    if new_key is not None:
        keyfiles.make_key(new_key, secrets.token_hex(32))
    key_file = new_key or library_key
    assert key_file is not None
    path = signing.sign(file, found.sha256, keyfiles.read_key(key_file), by)
    cli.result({"signature": str(path), "sha256": found.sha256, "key_file": str(key_file)})
    cli.say(f"[green]{path}[/] has the signature; the key is in {key_file}. Keep it from who may not sign.")


for _name, _function in (("show", show), ("verify", verify), ("sign", sign)):
    command(app, _name, PANEL)(_function)
