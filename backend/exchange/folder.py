"""Write the output folder of a reconstruction, completely or not at all.

Write the neutral face as Wavefront OBJ with its material file, which refers to ``albedo.png``.

Hair files: guides in ``hair.json``, the texture of the cards in ``hair.png``.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial, wraps
from itertools import count
from pathlib import Path
from threading import Lock
from typing import Any

import msgspec
import numpy as np

from backend import __version__
from backend.detail.find import DetailEstimate
from backend.exchange.all_or_none import PREVIEW, OutputFolder, disk_errors_named
from backend.exchange.asset_mesh import ALBEDO, SKIN, PartMaterial, part_material, subdivided
from backend.exchange.buffers import png_bytes
from backend.exchange.face_asset import FaceAsset
from backend.exchange.files import normal_picture, write_cameras, write_expressions, write_relief, write_report
from backend.exchange.preview import PhotoPreview, write_preview
from backend.hair.hair_strands import HairStrands
from backend.progress import WRITING, ProgressReporter, silent
from backend.rendering.color import linear_from_srgb, srgb_bytes
from backend.system.parallel import Stages
from protocol.hair_cards import HairCards, card_atlas

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
        lines += _rows_of("v %.6f %.6f %.6f", level.matrix @ part.vertices)
        lines += _rows_of("vt %.6f %.6f", level.uv)
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
    yield from _rows_of("v %.6f %.6f %.6f", cards.vertices)
    yield from _rows_of("vt %.6f %.6f", cards.uv)
    yield from ("usemtl hair", "s 1")
    corners = cards.triangles[..., None] + [vertices_before + 1, uvs_before + 1]
    yield from _rows_of("f %d/%d %d/%d %d/%d", corners)


def _face_lines(quads: np.ndarray, uv_quads: np.ndarray) -> Iterator[str]:
    """Face lines from vertex and texture-coordinate numbers; a repeated last vertex is left out."""
    kept = np.ones(quads.shape, bool)
    kept[:, -1] = quads[:, -2] != quads[:, -1]
    forms = np.where(kept[:, -1], "f %d/%d %d/%d %d/%d %d/%d", "f %d/%d %d/%d %d/%d").tolist()
    yield "\n".join(forms) % tuple(np.stack([quads, uv_quads], -1)[kept].ravel().tolist())


def _rows_of(form: str, values: np.ndarray) -> Iterator[str]:
    """One line for each of N values (N, ...), which ``form`` formats; all at once, which is faster."""
    if len(values):
        yield "\n".join([form] * len(values)) % tuple(values.ravel().tolist())


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


FORMAT_VERSION = 1
_DECIMALS = 5  # of metres: a hundredth of a millimetre


def write_hair(strands: HairStrands | None, path: Path) -> None:
    """Write ``hair.json``; ``guides`` is empty without hair. Raises ``OSError``."""
    content: dict[str, object] = {"version": FORMAT_VERSION, "unit": "metre", "guides": []}
    if strands is not None:
        content |= {
            "style": strands.style,
            "numbers": dict(strands.parameters),
            "hair_radius": strands.hair_radius,
            "guides": [
                {"points": points, "root_uv": uv, "width": width, "root_colour": root, "tip_colour": tip}
                for points, uv, width, root, tip in zip(
                    np.round(strands.points.astype(float), _DECIMALS).tolist(),
                    np.round(strands.root_uv.astype(float), _DECIMALS).tolist(),
                    [round(width, _DECIMALS) for width in strands.width.astype(float).tolist()],
                    np.round(strands.root_colour.astype(float), 4).tolist(),
                    np.round(strands.tip_colour.astype(float), 4).tolist(),
                    strict=True,
                )
            ],
        }
    path.write_bytes(msgspec.json.encode(content))


def hair_picture(cards: HairCards | None) -> np.ndarray:
    """(S, S, 4) uint8 texture of the cards in their mean colour, because OBJ has no vertex colours; one transparent
    texel without cards."""
    if cards is None:
        return np.zeros((1, 1, 4), np.uint8)
    picture = card_atlas().strands.copy()
    picture[..., :3] = srgb_bytes(linear_from_srgb(picture[..., :3]) * cards.colours.mean(0))
    return picture


def draw_preview(asset: FaceAsset, previews: Sequence[PhotoPreview], folder: OutputFolder) -> None:
    """Write ``preview.png`` beside the result, which does not wait for it.

    Raises ``LikenessError`` with code "disk".
    """
    with folder.writing([PREVIEW]) as files, disk_errors_named(folder.path):
        write_preview(asset, previews, files / PREVIEW)


def write_last(report: Mapping[str, object], files: Path, out_dir: Path) -> None:
    """Write ``report.json`` into the folder ``files``; a disk's error names ``out_dir``."""
    with disk_errors_named(out_dir):
        write_report(report, files / "report.json")


def file_stages(files: Path, out_dir: Path, progress: ProgressReporter = silent) -> Stages:
    """Stages that write all ``RESULT_NAMES`` but ``report.json`` into the folder ``files``, each as soon as its data is
    there: they need results of ``pipeline.HEAD_STAGES``. A disk's error names ``out_dir``."""
    early: Stages = {"relief_files": partial(_write_relief, files=files)}
    late: Stages = {  # the slowest first, because they run in parallel
        "face_glb": partial(_write_glb, files=files),
        "albedo_png": partial(_write_albedo, files=files),
        "eyes_png": partial(_write_eyes, files=files),
        "face_obj": partial(write_obj, folder=files),
        "hair_files": partial(_write_hair, files=files),
        "json_files": partial(_write_json, files=files),
    }
    done, turn = count(1), Lock()

    def named(stage: Callable[..., None], is_late: bool) -> Callable[..., None]:
        @wraps(stage)
        def write(**results: Any) -> None:
            with disk_errors_named(out_dir):
                stage(**results)
            if is_late:
                with turn:  # so that no report goes back
                    progress(WRITING, next(done) / (len(late) + 1))

        return write

    return {name: named(stage, name in late) for name, stage in (early | late).items()}


def _write_relief(detail: DetailEstimate, shape: FaceAsset, files: Path) -> None:
    relief = detail.detail
    (files / NORMAL_TEXTURE).write_bytes(png_bytes(normal_picture(relief, shape.parts[0])))
    write_relief(relief, files)


def _write_glb(asset: FaceAsset, files: Path) -> None:
    from backend.exchange.gltf import write_glb  # imported here: it takes 0.2 s, which reading photos would wait for

    write_glb(asset, files / "face.glb")


def _write_albedo(dressed: FaceAsset, files: Path) -> None:
    (files / "albedo.png").write_bytes(png_bytes(dressed.albedo))


def _write_eyes(dressed: FaceAsset, files: Path) -> None:
    """(S, 2 S, 3) uint8 image of map ``Eye``; one grey pixel if the asset has none."""
    missing = dressed.eyes is None or dressed.eyes.picture is None
    picture = np.full((1, 1, 3), 128, np.uint8) if missing else dressed.eyes.picture
    (files / EYE_TEXTURE).write_bytes(png_bytes(picture))


def _write_hair(asset: FaceAsset, files: Path) -> None:
    write_hair(asset.hair_strands, files / "hair.json")
    (files / "hair.png").write_bytes(png_bytes(hair_picture(asset.hair_cards)))


def _write_json(dressed: FaceAsset, files: Path) -> None:
    write_cameras(dressed.photos, files / "cameras.json")
    write_expressions(dressed.photos, files / "expressions.json")
