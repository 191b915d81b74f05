"""A line chart as SVG text: both axes logarithmic, a legend, nothing else."""

import math
from collections.abc import Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 720, 420
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 40, 130
COLOURS = ("#1f6feb", "#d1242f", "#2da44e", "#8250df")
"""Readable on a light and on a dark page."""
GREY = "#808080"
LEGEND_LINE = 20


class Line(NamedTuple):
    """One line; every number is above 0."""

    name: str
    points: Sequence[tuple[float, float]]


class _Axis(NamedTuple):
    """Decades from 10^first to 10^last, drawn from `begin` to `end` pixels."""

    first: int
    last: int
    begin: float
    end: float

    def at(self, value: float) -> float:
        part = (math.log10(value) - self.first) / (self.last - self.first)
        return round(self.begin + part * (self.end - self.begin), 1)


def chart(title: str, x_name: str, lines: Sequence[Line]) -> str:
    """The picture; raises ValueError without points."""
    xs = [x for line in lines for x, _ in line.points]
    ys = [y for line in lines for _, y in line.points]
    across = _axis(xs, LEFT, WIDTH - RIGHT)
    up = _axis(ys, HEIGHT - BOTTOM, TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
        _text(LEFT, TOP / 2, title, "start", 16),
        _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - BOTTOM + 38, x_name, "middle"),
    ]
    for decade in range(across.first, across.last + 1):
        x = across.at(10**decade)
        parts += [
            _rule(x, TOP, x, HEIGHT - BOTTOM),
            _text(x, HEIGHT - BOTTOM + 18, f"{10**decade:,}", "middle"),
        ]
    for decade in range(up.first, up.last + 1):
        y = up.at(10**decade)
        parts += [_rule(LEFT, y, WIDTH - RIGHT, y), _text(LEFT - 8, y + 4, f"{10.0**decade:,g}", "end")]
    for number, line in enumerate(lines):
        colour = COLOURS[number % len(COLOURS)]
        places = [(across.at(x), up.at(y)) for x, y in line.points]
        path = " ".join(f"{x},{y}" for x, y in places)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/>' for x, y in places]
        below = HEIGHT - BOTTOM + 62 + LEGEND_LINE * number
        parts.append(f'<rect x="{LEFT}" y="{below - 9}" width="14" height="10" fill="{colour}"/>')
        parts.append(_text(LEFT + 22, below, line.name, "start"))
    return "\n".join([*parts, "</svg>\n"])


def _axis(values: Sequence[float], begin: float, end: float) -> _Axis:
    """Whole decades around the values, one at least."""
    first, last = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return _Axis(first, max(last, first + 1), begin, end)


def _text(x: float, y: float, words: str, anchor: str, size: int = 12) -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" font-size="{size}" fill="{GREY}">{escape(words)}</text>'


def _rule(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{GREY}" stroke-opacity="0.3"/>'
