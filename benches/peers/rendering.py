"""Formats numbers and tables for the scripts."""

from __future__ import annotations

from collections.abc import Collection, Sequence

NONE = "–"


def number(value: float) -> str:
    """About four significant digits, without an exponent."""
    return f"{value:.{3 if abs(value) < 10 else 2 if abs(value) < 100 else 1}f}"


def table(columns: Sequence[str], right: Collection[int], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, padded so that it is readable as text. Columns with the indices `right` are right-aligned."""
    rows = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in [columns, *rows]) for column in range(len(columns))]

    def line(cells: Sequence[str]) -> str:
        padded = (
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(cells, widths))
        )
        return "| " + " | ".join(padded) + " |"

    rule = [("-" * (width - 1) + ":") if column in right else "-" * width for column, width in enumerate(widths)]
    return "\n".join([line(columns), line(rule), *map(line, rows)])
