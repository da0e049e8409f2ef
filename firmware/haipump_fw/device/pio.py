"""Programs of PIO state machines, assembled before they are installed. Desktop only.

On the device `rp2.asm_pio` takes 10 ms for each of them, of the second in which the pump has to be ready. What it
would make of a decorated function stands in its place in what is installed: a list as `rp2.StateMachine` takes it.

Owns: the encoding of those instructions that the firmware uses (RP2040 datasheet, 3.4). Must not: run anything else of
the firmware.
"""

import ast
from collections.abc import Callable, Mapping
from typing import Any

_OUT_LOW = 2  # what rp2.PIO calls these
_JOIN_TX = 1
_JOIN_AT = 30
_WRAP_TOP_AT = 12
_DELAY_AT = 8
_JUMPS = {"x_dec": 2, "y_dec": 4, "pin": 6}
_WAITED = {"pin": 1}
_MOVED = {"x": 1, "y": 2, "osr": 7}
_SET = {"pins": 0, "x": 1, "y": 2, "pindirs": 4}
_RELATIVE = 16


class _Word(int):
    """An instruction; `[n]` behind it is its delay."""

    def __getitem__(self, cycles: int) -> "_Word":
        return _Word(self | cycles << _DELAY_AT)


def assembled(sources: Mapping[str, bytes]) -> dict[str, bytes]:
    """The same files with lists in place of decorated functions; lines stay where they are. Raises KeyError, TypeError
    and NameError for an instruction that is not known here."""
    return {
        path: _replaced(data.decode(), path).encode() if b"@rp2.asm_pio(" in data else data
        for path, data in sources.items()
    }


def _replaced(text: str, path: str) -> str:
    lines = text.split("\n")
    for node in ast.parse(text, path).body:
        decorators = getattr(node, "decorator_list", ())
        if isinstance(node, ast.FunctionDef) and decorators and ast.unparse(decorators[0]).startswith("rp2.asm_pio("):
            assert isinstance(decorators[0], ast.Call) and node.end_lineno is not None
            first, behind = decorators[0].lineno - 1, node.end_lineno
            program = _program(node, {str(word.arg): ast.unparse(word.value) for word in decorators[0].keywords})
            lines[first:behind] = [f"{node.name} = {program}", *[""] * (behind - first - 1)]
    return "\n".join(lines)


def _program(function: ast.FunctionDef, options: dict[str, str]) -> str:
    words = _words(function)
    shift = {"0": 0, "rp2.PIO.JOIN_TX": _JOIN_TX}[options.pop("fifo_join", "0")] << _JOIN_AT
    start = {"None": None, "rp2.PIO.OUT_LOW": _OUT_LOW}[options.pop("set_init", "None")]
    if options.pop("in_shiftdir", "rp2.PIO.SHIFT_LEFT") != "rp2.PIO.SHIFT_LEFT" or options:
        raise KeyError(f"{function.name}: {options or 'in_shiftdir'}")
    code = b"".join(word.to_bytes(2, "little") for word in words)
    return repr([code, -1, -1, len(words) - 1 << _WRAP_TOP_AT, shift, None, start, None])


def _words(function: ast.FunctionDef) -> list[int]:
    """Its instructions: run twice, for a jump may go to a label that stands behind it."""
    labels: dict[str, int] = {}
    words: list[int] = []
    for _ in range(2):
        words.clear()
        for line in function.body:
            made = eval(compile(ast.Expression(line.value), function.name, "eval"), _names(labels, words))  # type: ignore[attr-defined]
            if made is not None:
                words.append(made)
    return words


def _names(labels: dict[str, int], words: list[int]) -> dict[str, Any]:
    def jmp(*args: str) -> _Word:
        condition = _JUMPS[args[0]] if len(args) > 1 else 0
        return _Word(condition << 5 | labels.get(args[-1], 0))

    make: dict[str, Callable[..., Any]] = {
        "label": lambda name: labels.update({name: len(words)}),
        "jmp": jmp,
        "wait": lambda level, what, index: _Word(0x2000 | level << 7 | _WAITED[what] << 5 | index),
        "pull": lambda how: _Word({"block": 0x80A0}[how]),
        "rel": lambda index: _RELATIVE | index,
        "irq": lambda index: _Word(0xC000 | index),
        "mov": lambda to, source: _Word(0xA000 | _MOVED[to] << 5 | _MOVED[source]),
        "set": lambda what, value: _Word(0xE000 | _SET[what] << 5 | value),
    }
    words_known = {*_JUMPS, *_WAITED, *_MOVED, *_SET, "block"}
    return {"__builtins__": {}, **{name: name for name in words_known}, **make}
