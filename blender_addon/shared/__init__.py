"""The package ``protocol``, under the extension's own name.

In the extension's zip its files lie beside this one. In a checkout or an installed wheel they are those of the package
``protocol`` beside ``blender_addon``, which this package's search path then names.
"""

from pathlib import Path

if not (Path(__file__).parent / "names.py").exists():
    __path__ = [str(Path(__file__).resolve().parents[2] / "protocol")]
