"""Numbers in place of names: what is replaced, what is refused, and that the firmware does the same afterwards, with
short private names too."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from haipump_fw import device
from haipump_fw.device import constants, private

ROOT = Path(__file__).parents[3]
UNITS = "from p.const import const\nUS = const(1_000_000)\nA, B = range(1, 3)\n_LOW, _HIGH = const(-1), const(1 << 4)\n"
TREE = {"p/const.py": "def const(value):\n    return value\n", "p/units.py": UNITS, "p/__init__.py": ""}


def inlined(**files: str) -> dict[str, str]:
    tree = {**TREE, **{f"p/{name}.py": text for name, text in files.items()}}
    done = constants.inline({path: text.encode() for path, text in tree.items()})
    return {path[2:-3]: data.decode() for path, data in done.items()}


def words(text: str) -> str:
    return ast.unparse(ast.parse(text))


def test_names_become_numbers_across_files_and_lines_stay():
    text = (
        "from p.units import (\n    US,\n    A,\n)\nfrom p import units\n\ndef f(x):\n    return x * US + A, units.B\n"
    )
    done = inlined(app=text)
    assert words(done["app"]) == words("from p import units\ndef f(x):\n    return x * 1000000 + 1, 2\n")
    assert done["app"].count("\n") == text.count("\n")
    assert words(done["units"]) == "", "nothing needs the names any more"
    assert ast.parse(done["app"]).body[-1].lineno == ast.parse(text).body[-1].lineno


def test_constants_of_one_file_and_those_made_of_others():
    done = inlined(app="from p.units import US\nHALF = US // 2 - 1\n\ndef f():\n    return HALF\n")
    assert words(done["app"]) == words("def f():\n    return 499999\n")
    done = inlined(app="_LOW, _HIGH = -1, 3\n\ndef f(x):\n    return x - _LOW * _HIGH\n")
    assert words(done["app"]) == words("def f(x):\n    return x - -1 * 3\n")


@pytest.mark.parametrize(
    "text",
    [
        "BIG = 1 << 30\n",  # an object on the device: made once
        "NAMES = ('a', 'b')\n",
        "X = f()\n",
        "x = 5\n",
        "X = 1.5\n",
        "X = True\n",
        "X, Y = 1, 'one'\n",
        "X, Y = 1, 2, 3\n",
        "X, Y = range(n)\n",
        "X = Y = 1\n",
    ],
)
def test_what_is_no_small_number_stays(text):
    assert inlined(app=text)["app"] == text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("from p.units import US\n\ndef f():\n    US = 3\n    return US\n", r"p/app\.py:4: US is assigned again"),
        ("X = 1\nX = 2\n", r"p/app\.py:2: X is assigned again"),
        ("from p import units\n\ndef f(units):\n    return units.US\n", r"p/app\.py:3: units hides"),
        ("from p import units\n\ndef f():\n    units = 3\n", r"p/app\.py:4: units hides"),
        ("X = 1\n\ndef f(X):\n    return X\n", r"p/app\.py:3: X hides"),
        ("def f():\n    from p.units import US\n    return US\n", r"p/app\.py:2: US is imported within a function"),
        (
            "def f():\n    from p import units\n    return units.US\n",
            r"p/app\.py:3: US is read of what may be a module",
        ),
        ("def f():\n    return g().US\n", r"p/app\.py:2: US is read of what may be a module"),
    ],
)
def test_what_can_not_be_followed_is_refused(text, says):
    with pytest.raises(constants.Unclear, match=says):
        inlined(app=text)


def test_the_compiler_says_what_is_wrong(tmp_path):
    package = tmp_path / "haipump_fw"
    package.mkdir()
    (tmp_path / "manifest").write_text("haipump_fw/app.py\n")
    (package / "app.py").write_text("X = 1\n\ndef f(X):\n    return X\n")
    with pytest.raises(device.CompileError, match="X hides"):
        device.shipped(package)


def test_names_that_the_host_uses_on_a_board_are_kept():
    done = constants.inline(device.sources())
    for module in constants.KEPT:
        path = module.replace(".", "/") + ".py"
        assert b"CAUSE_REQUEST = const(1)" in done[path] and b"import const" in done[path]


LIFE = """
import hashlib, sys
from haipump_emulator.direct import DirectCore
core = DirectCore(seed=3)
ids = iter(range(1, 99))
import zlib
def say(text):
    body = f"@{next(ids)} {text}".encode()
    start = len(core.output)
    core.send(body + b" *%08x\\n" % zlib.crc32(body))
    core.run_until(core.now_us + 400_000)
    return bytes(core.output[start:]).decode()
core.run_until(1_000_000)
for order in ("prepare_syringe reservoir_nl=28000000 step_fl=231147588 bore_um=21700 syringe_nl=30000000",
              "prepare_rate rate_nl_per_day=130000000", "prepare_bolus volume_nl=50000"):
    token = say(order).split("token=")[1].split()[0]
    say("commit token=" + token)
core.run_until(90_000_000)
print(hashlib.sha256(bytes(core.output)).hexdigest(), core.plant.truth(core.now_us).commanded_steps, len(core.output))
"""


def test_the_firmware_does_the_same_with_numbers(tmp_path):
    """The same life on the direct core, from the sources as they are and as they are compiled, but for the names that
    the emulator reads."""
    sources = device.sources()
    numbers = constants.inline(sources, [constants.dotted(name) for name in sources])
    for name, data in private.shorten(numbers).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    desktop = [path.relative_to(ROOT / "firmware") for path in (ROOT / "firmware/haipump_fw").rglob("*.py")]
    for path in desktop:
        if path.as_posix() not in sources:
            (tmp_path / path).parent.mkdir(exist_ok=True)
            (tmp_path / path).write_bytes((ROOT / "firmware" / path).read_bytes())
    told = [
        subprocess.run(
            [sys.executable, "-c", LIFE],
            env={"PYTHONPATH": f"{path}:{ROOT / 'emulator'}", "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        for path in (ROOT / "firmware", tmp_path)
    ]
    assert told[0].returncode == told[1].returncode == 0, told[0].stderr + told[1].stderr
    assert told[0].stdout == told[1].stdout
    assert int(told[0].stdout.split()[1]) > 200, "it moved"
