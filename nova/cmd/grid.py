# SPDX-License-Identifier: Apache-2.0
"""Tables with lines, in the form that scripts around the original's commands take apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence


def grid(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> Iterator[str]:
    """The lines of a table: ``| a | b |`` between lines of ``+---+``; numbers and texts to the left."""
    cells = [list(headings), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(line[index]) for line in cells) for index in range(len(headings))]
    border = "+" + "+".join("-" * (width + 2) for width in widths) + "+"
    yield border
    yield _line([heading.center(width) for heading, width in zip(headings, widths, strict=True)])
    yield border
    for line in cells[1:]:
        yield _line([cell.ljust(width) for cell, width in zip(line, widths, strict=True)])
    yield border


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
