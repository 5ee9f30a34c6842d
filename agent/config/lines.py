"""Where in a TOML text each key and table header stands; tomllib doesn't say.

`find_lines` reads text that tomllib has already accepted, so it looks only for structure: whatever
is not a header, a key, a string, a comment or a bracket is skipped.
"""

from __future__ import annotations

import itertools
import re
import tomllib

Where = tuple[str | int, ...]  # ("hierarchy", "app", "nodes", 1): the second item of hierarchy.app.nodes

_GAP = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_SHORT_STRING = r"""(?:"(?:\\.|[^"\\\n])*"|'[^'\n]*')"""
_QUOTED_KEY = re.compile(_SHORT_STRING)
# A multi-line string may end in up to five quotes: two of its own before the three that close it.
_LONG_BASIC = r'"""(?:\\[\s\S]|(?!""")[^\\])*"{3,5}'
_LONG_LITERAL = r"'''(?:(?!''')[\s\S])*'{3,5}"
_SCALAR = re.compile(rf"{_LONG_BASIC}|{_LONG_LITERAL}|{_SHORT_STRING}|[^,\]}}#\n]+")


def find_lines(text: str) -> dict[Where, int]:
    """The line, from 1, of every key, table and array item of valid TOML.

    A table without a header of its own stands where its first key does. Raises RecursionError on
    arrays nested beyond reason, as tomllib does.
    """
    return _Finder(text.replace("\r\n", "\n")).run()


def show_key(where: Where) -> str:
    """The dotted key as TOML would write it, without array positions: they have lines of their own."""
    keys = [part for part in where if isinstance(part, str)]
    return ".".join(key if _BARE_KEY.fullmatch(key) else _quoted(key) for key in keys)


def _quoted(key: str) -> str:
    escaped = key.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in escaped) + '"'


class _Finder:
    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0
        self._line, self._line_at = 1, 0  # `_line` is that of position `_line_at`
        self._found: dict[Where, int] = {}
        self._tables_in: dict[Where, int] = {}  # how many [[…]] headers an array of tables has so far

    def run(self) -> dict[Where, int]:
        table: Where = ()
        while (char := self._next()) != "":
            if char == "[":
                table = self._header()
            else:
                self._assignment(table)
        return self._found

    def _header(self) -> Where:
        brackets = 2 if self._text.startswith("[[", self._at) else 1
        line = self._here()
        self._at += brackets
        *parents, last = self._keys()
        self._next()
        self._at += brackets
        table: Where = ()
        for key in parents:
            table = self._newest((*table, key))
            self._found.setdefault(table, line)
        table = (*table, last)
        if brackets == 2:
            self._tables_in[table] = self._tables_in.get(table, 0) + 1
            self._found.setdefault(table, line)
            table = self._newest(table)
        self._found[table] = line
        return table

    def _newest(self, table: Where) -> Where:
        """The table itself or, for an array of tables, its last item."""
        count = self._tables_in.get(table)
        return table if count is None else (*table, count - 1)

    def _assignment(self, table: Where) -> None:
        line = self._here()
        *parents, last = self._keys()
        for key in parents:
            table = (*table, key)
            self._found.setdefault(table, line)
        self._next()
        self._at += 1  # the "="
        self._found[(*table, last)] = line
        self._value((*table, last))

    def _value(self, where: Where) -> None:
        opening = self._next()
        if opening not in ("[", "{"):
            scalar = _SCALAR.match(self._text, self._at)
            assert scalar is not None, where
            self._at = scalar.end()
            return
        closing = "]" if opening == "[" else "}"
        self._at += 1
        for position in itertools.count():
            if self._next() == closing:
                break
            if opening == "[":
                self._found[(*where, position)] = self._here()
                self._value((*where, position))
            else:
                self._assignment(where)
            if self._next() == ",":
                self._at += 1
        self._at += 1

    def _keys(self) -> list[str]:
        keys = [self._key()]
        while self._next() == ".":
            self._at += 1
            keys.append(self._key())
        return keys

    def _key(self) -> str:
        quoted = self._next() in ('"', "'")
        match = (_QUOTED_KEY if quoted else _BARE_KEY).match(self._text, self._at)
        assert match is not None, self._at
        self._at = match.end()
        return str(tomllib.loads(f"key = {match[0]}")["key"]) if quoted else match[0]

    def _next(self) -> str:
        """Step over white space and comments; the character there, "" at the end of the text."""
        gap = _GAP.match(self._text, self._at)
        assert gap is not None
        self._at = gap.end()
        return self._text[self._at : self._at + 1]

    def _here(self) -> int:
        self._line += self._text.count("\n", self._line_at, self._at)
        self._line_at = self._at
        return self._line
