"""The hundred photographs for judging parsing by eye; training and classifiers never use them."""

from __future__ import annotations

import csv
from pathlib import Path

SHEET_PATH = Path(__file__).parent / "parsing_sheet.csv"
"""Number, path below the folder of all photographs, and errors of the shipped net's labels. The photographs are those
that ``evaluate parsing`` draws with its default seed."""


def sheet_photographs() -> tuple[str, ...]:
    """Return the paths of the sheet's photographs below the folder of all photographs, in the sheet's order."""
    with SHEET_PATH.open(newline="", encoding="utf-8") as file:
        return tuple(row["photo"] for row in csv.DictReader(file))
