"""Where a key stands in a TOML text: `tomllib` reads values but forgets their places.

Owns: key path -> line, for text that `tomllib` has accepted. Must not: read values, or judge the text (it reads laxly
what is known to be valid).
"""

from __future__ import annotations

import re

Key = str | int
KeyPath = tuple[Key, ...]

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_SCALAR_END = re.compile(r"[,\]}#\n]")
_ESCAPES = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", '"': '"', "\\": "\\"}


def locate(text: str) -> dict[KeyPath, int]:
    """Line (from 1) of every key and array element, by path: `("timeline", 2, "expect", "within")`."""
    return _Scanner(text).scan()


def line_of(places: dict[KeyPath, int], path: KeyPath) -> int:
    """Line of `path`, or of the nearest thing around it that is written in the file; 1 at worst."""
    while path:
        if path in places:
            return places[path]
        path = path[:-1]
    return 1


def path_text(path: KeyPath) -> str:
    """`timeline[2].expect.within`, counting from 1 as people do."""
    out = ""
    for key in path:
        out += f"[{key + 1}]" if isinstance(key, int) else f".{key}" if out else key
    return out


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._places: dict[KeyPath, int] = {}
        self._counts: dict[KeyPath, int] = {}  # arrays of tables: how many so far

    def scan(self) -> dict[KeyPath, int]:
        table: KeyPath = ()
        while True:
            self._skip(newlines=True)
            if self._at >= len(self._text):
                return self._places
            if self._peek() == "[":
                table = self._header()
            else:
                self._pair(table)

    def _peek(self, count: int = 1) -> str:
        return self._text[self._at : self._at + count]

    def _skip(self, newlines: bool) -> None:
        """Over blanks and comments, and over line ends if asked to."""
        blank = " \t\r\n" if newlines else " \t"
        while self._at < len(self._text):
            if self._peek() in blank:
                self._at += 1
            elif self._peek() == "#":
                end = self._text.find("\n", self._at)
                self._at = len(self._text) if end < 0 else end
            else:
                return

    def _note(self, path: KeyPath) -> None:
        self._places.setdefault(path, self._text.count("\n", 0, self._at) + 1)

    def _header(self) -> KeyPath:
        double = self._peek(2) == "[["
        start = self._at
        self._at += 2 if double else 1
        keys = self._keys()
        self._at = start  # the place of a table is its bracket
        above = self._through(keys[:-1])
        for count in range(1, len(above) + 1):
            self._note(above[:count])  # a table may be first named by one inside it
        path = (*above, keys[-1])
        if double:
            index = self._counts.get(path, 0)
            self._counts[path] = index + 1
            self._note(path)
            path = (*path, index)
        elif path in self._counts:
            path = (*path, self._counts[path] - 1)
        self._note(path)
        end = self._text.find("\n", self._at)
        self._at = len(self._text) if end < 0 else end
        return path

    def _through(self, keys: KeyPath) -> KeyPath:
        """A path in a header leads through the last element of each array of tables on its way."""
        path: KeyPath = ()
        for key in keys:
            path = (*path, key)
            if path in self._counts:
                path = (*path, self._counts[path] - 1)
        return path

    def _keys(self) -> KeyPath:
        keys: list[Key] = []
        while True:
            self._skip(newlines=False)
            keys.append(self._key())
            self._skip(newlines=False)
            if self._peek() != ".":
                return tuple(keys)
            self._at += 1

    def _key(self) -> str:
        if self._peek() in "\"'":
            return self._string()
        match = _BARE_KEY.match(self._text, self._at)
        assert match is not None, f"not valid TOML at character {self._at}"
        self._at = match.end()
        return match.group()

    def _pair(self, table: KeyPath) -> None:
        start = self._at
        keys = self._keys()
        after, self._at = self._at, start
        for count in range(1, len(keys) + 1):
            self._note(table + keys[:count])
        self._at = after
        self._skip(newlines=False)
        self._at += 1  # the equals sign
        self._skip(newlines=False)
        self._value(table + keys)

    def _value(self, path: KeyPath) -> None:
        if self._peek() in "\"'":
            self._string()
        elif self._peek() == "[":
            self._array(path)
        elif self._peek() == "{":
            self._inline(path)
        else:
            match = _SCALAR_END.search(self._text, self._at)
            self._at = match.start() if match else len(self._text)

    def _array(self, path: KeyPath) -> None:
        self._at += 1
        index = 0
        while True:
            self._skip(newlines=True)
            if self._peek() == "]":
                self._at += 1
                return
            self._note((*path, index))
            self._value((*path, index))
            index += 1
            self._comma()

    def _inline(self, path: KeyPath) -> None:
        self._at += 1
        while True:
            self._skip(newlines=True)
            if self._peek() == "}":
                self._at += 1
                return
            self._pair(path)
            self._comma()

    def _comma(self) -> None:
        self._skip(newlines=True)
        if self._peek() == ",":
            self._at += 1

    def _string(self) -> str:
        quote = self._peek()
        if self._peek(3) == quote * 3:
            self._at += 3
            return self._until(quote * 3, escapes=quote == '"')
        self._at += 1
        return self._until(quote, escapes=quote == '"')

    def _until(self, quote: str, escapes: bool) -> str:
        out = ""
        while self._peek(len(quote)) != quote:
            if escapes and self._peek() == "\\":
                out += _ESCAPES.get(self._peek(2)[1], "")  # only keys are kept, and nobody escapes more in one
                self._at += 2
            else:
                out += self._peek()
                self._at += 1
        self._at += len(quote)
        while len(quote) == 3 and self._peek() == quote[0]:  # up to two quotes may stand before the closing three
            self._at += 1
        return out
