"""Write the neutral face as Wavefront OBJ with its material file, which refers to ``albedo.png``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from backend import __version__
from backend.exchange.face_asset import FaceAsset
from backend.exchange.part_materials import ALBEDO, SKIN, PartMaterial, part_material
from backend.exchange.subdivided import subdivided
from backend.hair.cards import HairCards

_HAIR_MATERIAL = (
    "newmtl hair\nKa 0 0 0\nKd 1 1 1\nKs 0.04 0.04 0.04\nNs 30.0\nPr 0.5\nPm 0\nd 1\nillum 2\n"
    "map_Kd hair.png\nmap_d -imfchan m hair.png\n"
)
EYE_TEXTURE = "eyes.png"
NORMAL_TEXTURE = "normal.png"
_NORMAL_STATEMENTS = ("norm", "map_Bump")
"""``norm`` declares a normal map; Blender ignores it and reads a normal map from ``map_Bump``. Programs that interpret
``map_Bump`` as heights read ``norm`` first."""
LASH_OPACITY = 0.5
"""Opacity of the lashes' material; OBJ has no opacity per vertex, unlike ``face.glb``."""


def write_obj(asset: FaceAsset, folder: Path) -> None:
    """Write ``face.obj`` and ``face.mtl`` into ``folder``; they refer to ``albedo.png``, which is written elsewhere.

    Every part is an object in quads after one Catmull-Clark step, in metres with y up, with map ``Head`` as texture
    coordinates (v up). The eyeballs have map ``Eye`` and ``eyes.png``. Skin with relief refers to ``normal.png``.

    Raises ``OSError`` if a file cannot be written.
    """
    folder = Path(folder)
    lines = [
        f"# Likeness {__version__}: neutral face, subdivided once; metres, y up, x to the person's left",
        "mtllib face.mtl",
    ]
    vertices_before = uvs_before = 0
    for part in asset.dressed_parts():
        level = subdivided(part)
        lines.append(f"o {part.name}")
        lines += [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in (level.matrix @ part.vertices).tolist()]
        lines += [f"vt {u:.6f} {v:.6f}" for u, v in level.uv.tolist()]
        lines += [f"usemtl {part.name}", "s 1"]
        lines += _face_lines(level.quads + 1 + vertices_before, level.uv_quads + 1 + uvs_before)
        vertices_before += level.matrix.shape[0]
        uvs_before += len(level.uv)
    if asset.hair_cards is not None:
        lines += _card_lines(asset.hair_cards, vertices_before, uvs_before)
    (folder / "face.obj").write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
    materials = "\n".join(
        _material(part.name, part_material(asset, part.name), "albedo.png", asset.detail is not None)
        for part in asset.dressed_parts()
    )
    if asset.hair_cards is not None:
        materials += _HAIR_MATERIAL
    (folder / "face.mtl").write_text(materials, encoding="utf-8", newline="\n")


def _card_lines(cards: HairCards, vertices_before: int, uvs_before: int) -> Iterator[str]:
    """Lines of the hair cards as a separate object."""
    yield "o hair"
    yield from (f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in cards.vertices.tolist())
    yield from (f"vt {u:.6f} {v:.6f}" for u, v in cards.uv.tolist())
    yield from ("usemtl hair", "s 1")
    for a, b, c in (cards.triangles + 1).tolist():
        corners = (f"{corner + vertices_before}/{corner + uvs_before}" for corner in (a, b, c))
        yield f"f {' '.join(corners)}"


def _face_lines(quads: np.ndarray, uv_quads: np.ndarray) -> Iterator[str]:
    """Face lines from vertex and texture-coordinate numbers; a repeated last vertex is left out."""
    for (a, b, c, d), (p, q, r, s) in zip(quads.tolist(), uv_quads.tolist(), strict=True):
        yield f"f {a}/{p} {b}/{q} {c}/{r}" if c == d else f"f {a}/{p} {b}/{q} {c}/{r} {d}/{s}"


def _material(part_name: str, look: PartMaterial, texture: str, relief: bool) -> str:
    shininess = 2.0 / max(look.roughness, 0.05) ** 4 - 2.0  # Blinn-Phong exponent for this roughness
    colour = " ".join(f"{channel:g}" for channel in look.colour)
    picture = texture if look.picture == ALBEDO else EYE_TEXTURE
    return (
        f"newmtl {part_name}\nKa 0 0 0\nKd {colour}\nKs 0.04 0.04 0.04\nNs {min(shininess, 1000.0):.1f}\n"
        f"Pr {look.roughness}\nPm 0\nd {LASH_OPACITY if part_name == 'lashes' else look.opacity:g}\nillum 2\n"
        + ("" if look.picture is None else f"map_Kd {picture}\n")
        + "".join(f"{statement} {NORMAL_TEXTURE}\n" for statement in _NORMAL_STATEMENTS if relief and look == SKIN)
    )
