"""`haipump-emu image` and `haipump-emu uf2`: the interpreter that the emulated chip boots, and what a Pico is given.

Owns: their options and output, exit codes (0 done, 1 failed, 2 not understood). Must not: know where images come from.
"""

import dataclasses
import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from haipump_emulator.chip import firmware
from haipump_emulator.chip import image as images
from haipump_emulator.cli.arguments import fail
from haipump_fw.device import CompileError, shipped
from haipump_fw.proto.messages import PROTOCOL_VERSION

SOURCES = {
    "named": "as named",
    "cache": "from the cache",
    "official": "the official release",
    "debian": "built from Debian's sources",
}
ImageOption = Annotated[
    Path | None,
    typer.Option(
        "--image",
        metavar="FILE",
        help=f"UF2 file of MicroPython for the Pico; else ${images.ENVIRONMENT}, else the cache.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


def image(path: ImageOption = None, as_json: JsonOption = False) -> None:
    """Get MicroPython for the emulated chip, and prove it by booting it.

    Named file, cache, official release, Debian's source packages, in this order. Building takes two minutes; if the
    compiler has to be installed first, that needs root. What is kept in the cache is known by its SHA-256.
    """
    try:
        found = images.get(path, lambda text: typer.echo(text, err=as_json))
    except images.ImageError as error:
        fail(error)
    facts = found.facts
    if as_json:
        typer.echo(json.dumps({"path": str(found.path), "source": found.source, **dataclasses.asdict(facts)}))
        return
    typer.echo(f"MicroPython {facts.version} for {facts.build}, {SOURCES[found.source]}: {found.path}")
    typer.echo(f"It boots, and ends at {facts.end:#x} in flash. SHA-256 {facts.sha256}")


def uf2(
    out: Annotated[Path, typer.Argument(metavar="OUT.uf2", help="The file to write.")],
    path: ImageOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write one UF2 file with MicroPython and the pump's application, for a Pico in BOOTSEL mode."""
    try:
        interpreter = images.find(path)
        if interpreter is None:
            fail(f"there is no MicroPython image: {images.HOW_TO_GET_ONE}")
        images.inspect(interpreter)
        ships = shipped()
        data = firmware.combine(interpreter, ships)
        answer = _write(out, data, ships.app_hash)
    except (images.ImageError, firmware.FirmwareError, CompileError) as error:
        fail(error)
    except OSError as error:
        fail(f"can't write {out}: {error.strerror or error}")
    facts: dict[str, Any] = {"path": str(out), "bytes": len(data), "files": len(ships.on_board)}
    facts |= {key: answer[key] for key in ("firmware", "protocol", "interpreter", "app_hash")}
    if as_json:
        typer.echo(json.dumps(facts | {"protocol": int(answer["protocol"])}))
        return
    typer.echo(f"{out}: {len(data)} bytes, {len(ships.on_board)} files. It boots: firmware {answer['firmware']} on ")
    typer.echo(f"{answer['interpreter']}, protocol {answer['protocol']}, application {answer['app_hash']}")


def _write(out: Path, data: bytes, app_hash: str) -> dict[str, str]:
    """Proven by a boot before it gets its name, so that a file that is there is a good one."""
    beside = out.with_name(f"{out.name}.{os.getpid()}")
    try:
        beside.write_bytes(data)
        answer = firmware.expect_protocol(beside, PROTOCOL_VERSION)
        if answer["app_hash"] != app_hash:
            raise firmware.FirmwareError(f"what boots has application {answer['app_hash']}, not {app_hash}")
        os.replace(beside, out)
    finally:
        beside.unlink(missing_ok=True)
    return answer


def register(parent: typer.Typer) -> None:
    """Hang these commands into `haipump-emu`."""
    parent.command("image")(image)
    parent.command("uf2")(uf2)
