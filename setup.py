"""Puts ``assets/`` into a built wheel, as ``backend/shipped_assets``; all else is in pyproject.toml."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithAssets(build_py):
    """Copies what the backend loads; an editable install reads the checkout's own."""

    def run(self) -> None:
        super().run()
        assets = Path(__file__).resolve().parent / "assets"
        if not self.editable_mode and assets.is_dir():
            shutil.copytree(assets, Path(self.build_lib) / "backend" / "shipped_assets", dirs_exist_ok=True)


# An editable install names the checkout's folder: setuptools' own finder costs each start of Python 60 ms.
setup(cmdclass={"build_py": BuildWithAssets}, options={"editable_wheel": {"mode": "compat"}})
