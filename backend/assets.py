"""Where what ships beside the code lies: template, tables and weights."""

from __future__ import annotations

from pathlib import Path

_CHECKOUT = Path(__file__).resolve().parents[1] / "assets"
_INSTALLED = Path(__file__).resolve().parent / "shipped_assets"
ASSETS = _INSTALLED if _INSTALLED.is_dir() else _CHECKOUT
"""In a checkout, and in the extension's backend, the folder beside the package; in an installed wheel a folder in it,
which ``setup.py`` puts there."""
