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
_MAKE: dict[str, Callable[..., int]] = {
    "wait": lambda level, what, index: 0x2000 | level << 7 | _WAITED[what] << 5 | index,
    "pull": lambda how: {"block": 0x80A0}[how],
    "rel": lambda index: _RELATIVE | index,
    "irq": lambda index: 0xC000 | index,
    "mov": lambda to, source: 0xA000 | _MOVED[to] << 5 | _MOVED[source],
    "set": lambda what, value: 0xE000 | _SET[what] << 5 | value,
}


def assembled(sources: Mapping[str, bytes]) -> dict[str, bytes]:
    """The same files with lists in place of decorated functions; lines stay where they are. Raises KeyError and
    TypeError for an instruction that is not known here."""
    return {
        path: _replaced(data.decode(), path).encode() if b"@rp2.asm_pio(" in data else data
        for path, data in sources.items()
    }


def _replaced(text: str, path: str) -> str:
    lines = text.split("\n")
    for node in ast.parse(text, path).body:
        decorators = getattr(node, "decorator_list", ())
        if isinstance(node, ast.FunctionDef) and decorators and ast.unparse(decorators[0]).startswith("rp2.asm_pio("):
            first, behind = decorators[0].lineno - 1, node.end_lineno or 0
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
    """Its instructions: gone through twice, for a jump may go to a label that stands behind it."""
    labels: dict[str, int] = {}
    words: list[int] = []
    for _ in range(2):
        words.clear()
        for line in function.body:
            if not isinstance(line, ast.Expr):
                raise TypeError(f"{function.name}: {ast.unparse(line)}")
            made = _value(line.value, labels, len(words))
            if made is not None:
                words.append(made)
    return words


def _value(node: ast.expr, labels: dict[str, int], here: int) -> Any:
    """A number, a name as text, or the word that a call makes; None for a label."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Subscript):  # the delay behind an instruction
        return _value(node.value, labels, here) | _value(node.slice, labels, here) << _DELAY_AT
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        args = [_value(arg, labels, here) for arg in node.args]
        if node.func.id == "label":
            labels[args[0]] = here
            return None
        if node.func.id == "jmp":
            return (_JUMPS[args[0]] if len(args) > 1 else 0) << 5 | labels.get(args[-1], 0)
        return _MAKE[node.func.id](*args)
    raise TypeError(ast.unparse(node))
