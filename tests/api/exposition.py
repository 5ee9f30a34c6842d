"""A strict reader of Prometheus' text format 0.0.4: whatever the format doesn't promise is an error."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = rf'{NAME}="(?:[^"\\\n]|\\[\\"n])*"'
SAMPLE = re.compile(rf"({NAME})(?:\{{({LABEL}(?:,{LABEL})*)\}})? (\S+)")
UNESCAPED = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}

Labels = frozenset[tuple[str, str]]


@dataclass
class Family:
    """All samples of one name."""

    type: str
    help: str
    samples: dict[Labels, float] = field(default_factory=dict)

    def value(self, **labels: str) -> float:
        """The sample of exactly these labels."""
        return self.samples[frozenset(labels.items())]


def read(text: str) -> dict[str, Family]:
    """Families by name; ValueError for anything out of order."""
    if not text.endswith("\n"):
        raise ValueError("the last line isn't ended")
    families, current, helped = dict[str, Family](), "", ("", "")
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            _, _, name, words = line.split(" ", 3)
            helped = (name, words)
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            if name != helped[0] or name in families or kind not in {"gauge", "counter"}:
                raise ValueError(f"a TYPE out of order: {line}")
            if (kind == "counter") != name.endswith("_total"):
                raise ValueError(f"{name} is a {kind}")
            current, families[name] = name, Family(kind, helped[1])
        else:
            _add(families, current, line)
    return families


def _add(families: dict[str, Family], current: str, line: str) -> None:
    found = SAMPLE.fullmatch(line)
    if found is None or found[1] != current:
        raise ValueError(f"no sample of {current}: {line!r}")
    pairs = [each.split("=", 1) for each in re.findall(LABEL, found[2] or "")]
    labels = frozenset((name, _unescape(value[1:-1])) for name, value in pairs)
    if len({name for name, _ in labels}) != len(pairs) or labels in families[current].samples:
        raise ValueError(f"told twice: {line!r}")
    families[current].samples[labels] = float(found[3])


def _unescape(value: str) -> str:
    return re.sub(r'\\[\\"n]', lambda each: UNESCAPED[each[0]], value)
