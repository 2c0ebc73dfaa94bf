"""Files, processes and threads: what the operating system gives."""

from pathlib import Path

_CHECKOUT = Path(__file__).resolve().parents[2] / "assets"
_INSTALLED = Path(__file__).resolve().parents[1] / "shipped_assets"
ASSETS = _INSTALLED if _INSTALLED.is_dir() else _CHECKOUT
"""In a checkout and in the extension's backend, the folder beside the package; in an installed wheel, a folder inside
the package, put there by ``setup.py``. Here, because ``doctor`` runs without any package."""
