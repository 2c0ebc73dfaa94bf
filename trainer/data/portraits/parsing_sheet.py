"""The hundred photographs that parsing is judged by with one's own eyes; no training and no classifier sees them."""

from __future__ import annotations

import csv
from pathlib import Path

SHEET_PATH = Path(__file__).parent / "parsing_sheet.csv"
"""Number, path below the folder of all photographs, and what is wrong on it: what ``evaluate parsing``'s default seed
draws, as the shipped net labels it."""


def sheet_photographs() -> tuple[str, ...]:
    """Paths of the sheet's photographs below the folder of all photographs, in its order."""
    with SHEET_PATH.open(newline="", encoding="utf-8") as file:
        return tuple(row["photo"] for row in csv.DictReader(file))
