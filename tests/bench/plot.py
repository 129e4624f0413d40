"""Series as small plots below each other in one SVG file, each with its least and greatest value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT, LEFT = 640, 34, 300
COLOURS = {False: "#2b6cb0", True: "#c53030"}


def svg(title: str, times: Sequence[float], series: Mapping[str, Sequence[float]], growing: Mapping[str, bool]) -> str:
    """One row a series; those that grow and must not are red."""
    rows = [
        _row(number, name, times, values, growing.get(name, False))
        for number, (name, values) in enumerate(series.items())
    ]
    height = 40 + HEIGHT * len(rows)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 120}" height="{height}" '
        f'font-family="monospace" font-size="11">\n<rect width="100%" height="100%" fill="white"/>\n'
        f'<text x="8" y="18" font-size="13">{escape(title)}</text>\n' + "\n".join(rows) + "\n</svg>\n"
    )


def _row(number: int, name: str, times: Sequence[float], values: Sequence[float], grows: bool) -> str:
    top = 32 + number * HEIGHT
    low, high = min(values), max(values)
    span, length = (high - low) or 1.0, (times[-1] - times[0]) or 1.0
    points = " ".join(
        f"{LEFT + (at - times[0]) / length * WIDTH:.1f},{top + (HEIGHT - 8) * (1 - (value - low) / span):.1f}"
        for at, value in zip(times, values, strict=True)
    )
    colour = COLOURS[grows]
    return (
        f'<text x="8" y="{top + 16}" fill="{colour}">{escape(name)}</text>'
        f'<polyline points="{points}" fill="none" stroke="{colour}"/>'
        f'<text x="{LEFT + WIDTH + 6}" y="{top + 16}">{low:.4g} to {high:.4g}</text>'
    )
