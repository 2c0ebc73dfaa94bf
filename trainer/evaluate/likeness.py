"""Likeness of the neutral head to the person: face-embedding distance of renders to the photographs.

The renders are drawn by Cycles.
"""

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console

from backend.errors import LikenessError
from backend.exchange.asset_mesh import lash_picture, lash_positions
from backend.exchange.buffers import png_bytes
from backend.exchange.face_asset import FaceAsset
from backend.exchange.folder import hair_picture
from backend.geometry.template import load_template
from backend.hair.draw import hair_cards
from backend.photos.collection import PhotoSource
from backend.pipeline import ReconstructOptions, reconstruct
from backend.rendering.camera import look_at
from protocol.options import OPTIONS
from trainer.engine.sheets import write_sheet
from trainer.heads.drawing import SAMPLES, Light, Part, Shot, draw
from trainer.heads.dressed import face_middle
from trainer.measures.harness import Figures, add_people_arguments, judged, people_folders
from trainer.measures.metrics import face_embedding

VIEWS = (("front", 0.0), ("left", 35.0), ("right", -35.0))
LIGHTS = {
    "flat": Light((0.85, 0.85, 0.85), (), ((0.25,) * 3,) * 2, 0.0),
    "novel": Light(
        (0.15, 0.15, 0.15),
        (((0.3, 0.7, 1.5), 0.8, 30.0, (1.0, 1.0, 1.0)), ((-1.2, 0.3, 0.4), 0.8, 12.0, (1.0, 1.0, 1.0))),
        ((0.25,) * 3,) * 2,
        0.0,
    ),
}
"""No photo has the second light."""
SIZE = 448
DISTANCE = 1.5
VIEW_METRES = 0.29
PARTS = {"relief": "detail", "hair": "hair_strands"}
"""Parts that a head can be rendered without: name in the figures -> field of ``FaceAsset``."""
MATERIALS = {"eye_left": "eye", "eye_right": "eye", "teeth_upper": "teeth", "teeth_lower": "teeth"}
"""Of parts that are not skin."""


def asset_parts(asset: FaceAsset, folder: Path) -> tuple[Part, ...]:
    """What Cycles draws of a head, with its pictures in ``folder``."""
    albedo, relief, made = folder / "albedo.png", None, []
    albedo.write_bytes(png_bytes(asset.albedo))
    if asset.detail is not None:
        (folder / "relief.png").write_bytes(png_bytes(asset.detail.always.steps))
        relief = folder / "relief.png", 2.0 * asset.detail.always.reach / 1000
    for part in asset.parts:
        if part.name == "lashes":
            uv, picture = lash_positions(asset), folder / "lashes.png"
            picture.write_bytes(png_bytes(lash_picture()))
            made.append(Part("hair", part.vertices, part.quads, uv[part.quads], picture, True))
        else:
            material, uv = MATERIALS.get(part.name, "skin"), part.uv[part.uv_quads]
            bump = relief if part.name == "head" else None
            made.append(Part(material, part.vertices, part.quads, uv, albedo, levels=2, relief=bump))
    if asset.hair_strands is not None:
        cards, picture = hair_cards(asset.hair_strands), folder / "hair.png"
        picture.write_bytes(png_bytes(hair_picture(cards)))
        made.append(Part("hair", cards.vertices, cards.triangles, cards.uv[cards.triangles], picture, True))
    return tuple(made)


def neutral_renders(asset: FaceAsset) -> dict[tuple[str, str], np.ndarray]:
    """Draw the neutral head before grey: (``SIZE``, ``SIZE``, 3) uint8 by (light, view)."""
    cage = np.concatenate([part.vertices for part in asset.parts]).astype(np.float64)
    middle, shots = face_middle(load_template().landmarks478.positions(cage)), {}
    with tempfile.TemporaryDirectory() as name:
        for light, lamps in LIGHTS.items():
            for view, yaw in VIEWS:
                camera = look_at(yaw, 0, 0, DISTANCE, SIZE * DISTANCE / VIEW_METRES, (SIZE, SIZE), middle)
                shot = Shot(camera, lamps, 22.0, DISTANCE - 0.03, 0.0, "Standard", SAMPLES, 0)
                shots[light, view] = Path(name) / f"{light}_{view}.jpg", shot
        draw(asset_parts(asset, Path(name)), middle, dict(shots.values()))
        return {key: np.asarray(Image.open(path).convert("RGB")) for key, (path, _) in shots.items()}


def likeness_figures(distances: Mapping[tuple[str, str], float]) -> dict[str, float]:
    """``front.LIGHT`` and ``side.LIGHT``, and their means over the lights, of distances by (light, view); NaN, a render
    in which no face was found, counts as 1."""
    known = {key: float(np.nan_to_num(value, nan=1.0)) for key, value in distances.items()}
    figures = {}
    for side, views in (("front", ("front",)), ("side", ("left", "right"))):
        for light in LIGHTS:
            figures[f"{side}.{light}"] = float(np.mean([known[light, view] for view in views]))
        figures[side] = float(np.mean([figures[f"{side}.{light}"] for light in LIGHTS]))
    return figures


def person_likeness(
    photos: Sequence[Path], options: ReconstructOptions, without: Sequence[str] = (), sheet: Path | None = None
) -> dict[str, float]:
    """Reconstruct one person and compare the renders with the photos: ``likeness_figures``; ``photos``, the mean of the
    photos among themselves; and for each of ``without``, some of ``PARTS``, ``….PART_costs``, what the distances have
    more with the part than without it. The renders go into the file ``sheet``, a row per light.
    """
    asset = reconstruct([PhotoSource.from_path(path) for path in photos], options).asset
    pictures = neutral_renders(asset)
    if sheet is not None:
        names = [view for view, _ in VIEWS]
        write_sheet(sheet, [[pictures[light, view] for view in names] for light in LIGHTS], names)
    embeddings = [face_embedding(np.asarray(Image.open(path).convert("RGB"))) for path in photos]
    gallery = [embedding for embedding in embeddings if embedding is not None]
    if not gallery:
        raise LikenessError("no_face", "No photo shows a face that the recogniser finds.")
    figures = likeness_figures(_distances(pictures, gallery))
    costs = {}
    for part in without:
        less = likeness_figures(_distances(neutral_renders(replace(asset, **{PARTS[part]: None})), gallery))
        costs |= {f"{name}.{part}_costs": value - less[name] for name, value in figures.items()}
    pairs = [np.linalg.norm(a - b) for i, a in enumerate(gallery) for b in gallery[:i]]
    return figures | costs | {"photos": float(np.mean(pairs)) if pairs else np.nan}


def _distances(
    pictures: Mapping[tuple[str, str], np.ndarray], gallery: Sequence[np.ndarray]
) -> dict[tuple[str, str], float]:
    """Mean distance of each picture to the gallery's embeddings (128,); NaN if no face is found in it."""
    found = {key: face_embedding(picture) for key, picture in pictures.items()}
    return {
        key: np.nan if one is None else float(np.linalg.norm(np.stack(gallery) - one, axis=1).mean())
        for key, one in found.items()
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``evaluate likeness``."""
    add_people_arguments(parser)
    parser.add_argument("--face-model", default="linear", choices=OPTIONS["face_model"].names, help="of the fit")
    for part in PARTS:
        parser.add_argument(f"--without-{part}", action="store_true", help=f"the same heads without their {part}, too")
    parser.add_argument("--pictures", type=Path, help="write the renders of each person into this folder")


def run(arguments: argparse.Namespace, console: Console) -> Figures:
    """Flat figures ``likeness.…`` over people, and the same per person under ``person.NAME.``."""
    options = ReconstructOptions(quality=arguments.quality, face_model=arguments.face_model)
    without = [part for part in PARTS if getattr(arguments, f"without_{part}")]
    folders = people_folders(arguments.people)

    def person(name: str) -> dict[str, float]:
        sheet = arguments.pictures / f"{name}.png" if arguments.pictures else None
        return person_likeness(folders[name], options, without, sheet)

    return judged({name: name for name in folders}, person, console, "likeness")
