"""Where what ships beside the code lies: template, tables and weights."""

from __future__ import annotations

from pathlib import Path

ASSETS = Path(__file__).resolve().parents[1] / "assets"
