"""The neutral face as Wavefront OBJ with its material file; ``albedo.png`` is the texture beside them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from backend import __version__
from backend.exchange.face_asset import FaceAsset, FacePart
from backend.exchange.gltf import ROUGHNESS, SKIN_ROUGHNESS


def write_obj(asset: FaceAsset, folder: Path, stem: str = "face", texture: str = "albedo.png") -> None:
    """Write ``stem.obj`` and ``stem.mtl`` into ``folder``; they name the texture file, which is written elsewhere.

    Every part is an object in quads, in metres with y up, with map ``Head`` as its texture coordinates (v up).
    Raises ``OSError`` when a file cannot be written.
    """
    folder = Path(folder)
    lines = [f"# Likeness {__version__}: neutral face; metres, y up, x to the person's left", f"mtllib {stem}.mtl"]
    vertices_before = uvs_before = 0
    for part in asset.parts:
        lines.extend(_part_lines(part, vertices_before, uvs_before))
        vertices_before += len(part.vertices)
        uvs_before += len(part.uv)
    (folder / f"{stem}.obj").write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
    materials = "\n".join(_material(part.name, texture) for part in asset.parts)
    (folder / f"{stem}.mtl").write_text(materials, encoding="utf-8", newline="\n")


def _part_lines(part: FacePart, vertices_before: int, uvs_before: int) -> Iterator[str]:
    yield f"o {part.name}"
    yield from (f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in part.vertices.tolist())
    yield from (f"vt {u:.6f} {v:.6f}" for u, v in part.uv.tolist())
    yield f"usemtl {part.name}"
    yield "s 1"
    corners = np.stack([part.quads + 1 + vertices_before, part.uv_quads + 1 + uvs_before], axis=-1)  # (F, 4, 2)
    triangle = part.quads[:, 2] == part.quads[:, 3]
    for face, is_triangle in zip(corners.tolist(), triangle.tolist(), strict=True):
        yield "f " + " ".join(f"{v}/{t}" for v, t in face[: 3 if is_triangle else 4])


def _material(part_name: str, texture: str) -> str:
    roughness = ROUGHNESS.get(part_name, SKIN_ROUGHNESS)
    shininess = 2.0 / max(roughness, 0.05) ** 4 - 2.0  # the Blinn-Phong exponent of this roughness
    return (
        f"newmtl {part_name}\nKa 0 0 0\nKd 1 1 1\nKs 0.04 0.04 0.04\nNs {min(shininess, 1000.0):.1f}\n"
        f"Pr {roughness}\nPm 0\nillum 2\nmap_Kd {texture}\n"
    )
