"""Likeness of the neutral head to the person: face-embedding distance of renders to the photographs.

The renders are drawn by Cycles.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console

from backend.errors import LikenessError
from backend.exchange.buffers import png_bytes
from backend.exchange.face_asset import FaceAsset
from backend.exchange.folder import hair_picture
from backend.geometry.template import load_template
from backend.hair.cards import hair_cards
from backend.photos.formats import PhotoSource
from backend.pipeline import ReconstructOptions, reconstruct
from protocol.options import OPTIONS
from trainer.engine.sheets import write_sheet
from trainer.heads.drawing import SAMPLES, Light, Part, Shot, draw
from trainer.heads.dressed import face_middle
from trainer.heads.surface import look_at
from trainer.measures.harness import add_people_arguments, measured, people_folders
from trainer.measures.metrics import face_embedding, identity_distance

MATERIALS = {"eye_left": "eye", "eye_right": "eye", "teeth_upper": "teeth", "teeth_lower": "teeth"}
"""Of parts that are not skin."""


def asset_parts(asset: FaceAsset, folder: Path) -> tuple[Part, ...]:
    """What Cycles draws of a head, with its pictures in ``folder``. Lashes are left out: the photos' are in the
    albedo."""
    albedo, relief, made = folder / "albedo.png", None, []
    albedo.write_bytes(png_bytes(asset.albedo))
    if asset.detail is not None:
        (folder / "relief.png").write_bytes(png_bytes(asset.detail.always.steps))
        relief = folder / "relief.png", 2.0 * asset.detail.always.reach / 1000
    for part in asset.parts:
        if part.name != "lashes":
            material, uv = MATERIALS.get(part.name, "skin"), part.uv[part.uv_quads]
            bump = relief if part.name == "head" else None
            made.append(Part(material, part.vertices, part.quads, uv, albedo, levels=2, relief=bump))
    if asset.hair_strands is not None:
        cards, picture = hair_cards(asset.hair_strands), folder / "hair.png"
        picture.write_bytes(png_bytes(hair_picture(cards)))
        made.append(Part("hair", cards.vertices, cards.triangles, cards.uv[cards.triangles], picture, True))
    return tuple(made)


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


@dataclass(frozen=True)
class PersonLikeness:
    """Embedding distances of one person. ``distances`` : mean of the renders to the photos by (light, view), NaN where
    no face was found. ``photos`` : mean of the photos among themselves. ``without`` : for each requested part
    (``PARTS``), the distances of the same head without it."""

    distances: dict[tuple[str, str], float]
    photos: float
    without: Mapping[str, dict[tuple[str, str], float]] = field(default_factory=dict)


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


def person_likeness(
    photos: Sequence[Path], options: ReconstructOptions, without: Sequence[str] = ()
) -> tuple[PersonLikeness, list[list[np.ndarray]]]:
    """Reconstruct one person and compare the renders with the photos, also ``without`` each of some ``PARTS``.

    Returns the distances, and the renders, a row per light."""
    asset = reconstruct([PhotoSource.from_path(path) for path in photos], options).asset
    pictures = neutral_renders(asset)
    embeddings = [face_embedding(np.asarray(Image.open(path).convert("RGB"))) for path in photos]
    gallery = [embedding for embedding in embeddings if embedding is not None]
    if not gallery:
        raise LikenessError("no_face", "No photo shows a face that the recogniser finds.")
    distances = _distances(pictures, gallery)
    less = {part: _distances(neutral_renders(replace(asset, **{PARTS[part]: None})), gallery) for part in without}
    pairs = [np.linalg.norm(a - b) for i, a in enumerate(gallery) for b in gallery[:i]]
    rows = [[pictures[light, view] for view, _ in VIEWS] for light in LIGHTS]
    return PersonLikeness(distances, float(np.mean(pairs)) if pairs else float("nan"), less), rows


def _distances(
    pictures: Mapping[tuple[str, str], np.ndarray], gallery: Sequence[np.ndarray]
) -> dict[tuple[str, str], float]:
    """Mean distance of each picture to the gallery's embeddings (128,); NaN if no face is found in it."""
    missing = np.full(128, np.nan)
    embeddings = {key: face_embedding(picture) for key, picture in pictures.items()}
    return {
        key: identity_distance([missing if one is None else one], gallery).per_render[0]
        for key, one in embeddings.items()
    }


def flat_figures(people: dict[str, PersonLikeness]) -> dict[str, float]:
    """``likeness.front`` and ``likeness.side`` (means over people and both lights; per light with the suffix ``.flat``
    or ``.novel``), ``likeness.photos``, and the same per person under ``person.NAME.``; NaN counts as 1.

    If all heads were also rendered without one of ``PARTS``: ``likeness.front.PART_costs`` and
    ``likeness.side.PART_costs``, the increase of the distances with the part, and the same per person.
    """
    figures = _of_views(people)
    means = [key for key in figures if key.rpartition(".")[2] in ("front", "side", "flat", "novel")]
    costs: dict[str, float] = {}
    for part in PARTS:
        if people and all(part in person.without for person in people.values()):
            less = _of_views({name: replace(one, distances=one.without[part]) for name, one in people.items()})
            costs |= {f"{key}.{part}_costs": figures[key] - less[key] for key in means}
    return figures | costs


def _of_views(people: Mapping[str, PersonLikeness]) -> dict[str, float]:
    figures: dict[str, float] = {}
    for name, person in people.items():
        for light in LIGHTS:
            value = {view: np.nan_to_num(person.distances[light, view], nan=1.0) for view, _ in VIEWS}
            figures[f"person.{name}.front.{light}"] = float(value["front"])
            figures[f"person.{name}.side.{light}"] = float((value["left"] + value["right"]) / 2)
        figures[f"person.{name}.photos"] = person.photos
    for view in ("front", "side"):
        for light in LIGHTS:
            values = [figures[f"person.{name}.{view}.{light}"] for name in people]
            figures[f"likeness.{view}.{light}"] = float(np.mean(values))
        figures[f"likeness.{view}"] = float(np.mean([figures[f"likeness.{view}.{light}"] for light in LIGHTS]))
    figures["likeness.photos"] = float(np.nanmean([person.photos for person in people.values()]))
    return figures


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``evaluate likeness``."""
    add_people_arguments(parser)
    parser.add_argument(
        "--face-model", default="linear", choices=OPTIONS["face_model"].names, help="what the fit's identity moves in"
    )
    for part in PARTS:
        parser.add_argument(f"--without-{part}", action="store_true", help=f"the same heads without their {part}, too")
    parser.add_argument("--pictures", type=Path, help="write the renders of each person into this folder")


def run(arguments: argparse.Namespace, console: Console) -> dict[str, float]:
    """Flat figures of ``evaluate likeness``."""
    options = ReconstructOptions(quality=arguments.quality, face_model=arguments.face_model)
    without = [part for part in PARTS if getattr(arguments, f"without_{part}")]
    folders = people_folders(arguments.people)

    def person(name: str) -> PersonLikeness:
        distances, rows = person_likeness(folders[name], options, without)
        if arguments.pictures:
            write_sheet(arguments.pictures / f"{name}.png", rows, [view for view, _ in VIEWS])
        return distances

    def shown(one: PersonLikeness) -> dict[str, float]:
        return {" ".join(key): value for key, value in one.distances.items()} | {"photos": one.photos}

    return flat_figures(measured({name: name for name in folders}, person, console, shown))
