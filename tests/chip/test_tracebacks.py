"""What the firmware raises on the chip, as whoever runs the emulator reads it."""

import io

from rich.console import Console

from haipump_emulator.chip import ChipCore
from haipump_emulator.chip.firmware import BLOCK, BLOCKS, file_system
from haipump_emulator.cli import screen
from haipump_fw.device import compiled, shipped, sources

EMPTIED = "haipump_fw/panel.py"


def broken_application():
    """This one, but for an empty module: whoever wants something of it fails."""
    blocks = file_system({**shipped().on_board, EMPTIED.replace(".py", ".mpy"): compiled(EMPTIED, b"")})
    return b"".join(blocks.get(number, b"\xff" * BLOCK) for number in range(BLOCKS))


def line_with(name, words):
    """Number and text of the first line of a source that has them."""
    lines = sources()[name].decode().splitlines()
    return next((n, text.strip()) for n, text in enumerate(lines, 1) if words in text)


def test_file_line_and_source_are_shown_as_it_happens(image):
    shown = io.StringIO()
    core = ChipCore(image=image, files=broken_application())
    core.listeners.append(screen.Raised(Console(file=shown, width=200), sources=True))
    core.run_until(2_500_000)
    lines = [line.strip() for line in shown.getvalue().splitlines()]
    assert lines[0].startswith("the firmware raised at 00:00:")
    assert lines[-1].startswith("ImportError: can't import name")
    for name, words in (("main.py", "import App"), ("haipump_fw/app.py", "from haipump_fw.panel import")):
        number, text = line_with(name, words)
        at = next(n for n, line in enumerate(lines) if f"{name}:{number} in" in line)
        assert lines[at + 1] == text
