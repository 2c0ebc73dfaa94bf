"""Likeness of the neutral head to the person: face-embedding distance of renders to the photographs.

Convert a finished ``FaceAsset`` to a surface for the ray tracer.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console

from backend.detail.skin_detail import relief_shading
from backend.errors import LikenessError
from backend.exchange.asset_mesh import subdivided
from backend.exchange.face_asset import FaceAsset, FacePart
from backend.geometry.normals import vertex_normals
from backend.geometry.template import load_template
from backend.hair.draw import draw_hair
from backend.photos.formats import PhotoSource
from backend.pipeline import ReconstructOptions, reconstruct
from backend.rendering.color import linear_from_srgb, srgb_bytes
from backend.rendering.interpolate import sample_texture
from backend.rendering.spherical_harmonics import light_from_directions
from protocol.options import OPTIONS
from trainer.evaluate.harness import add_people_arguments, measured, people_folders, write_sheet
from trainer.evaluate.metrics import face_embedding, identity_distance
from trainer.heads.photographs import lighting, subdivide_midpoint
from trainer.heads.raytrace import Film, Lighting, Surface, build_bvh, develop, joined, look_at, trace_view
from trainer.heads.scans import face_middle

HEAD_LEVELS = 2
PART_LEVELS = 1
EYES = ("eye_left", "eye_right")


def part_surface(part: FacePart, albedo: np.ndarray) -> Surface:
    """Surface of one part at Catmull-Clark level 1, split further to texture resolution; ``albedo`` (R, R, 3) uint8
    sRGB."""
    fine = subdivided(part)
    positions = fine.matrix @ part.vertices.astype(np.float64)
    # one vertex per pair of position and texture coordinate, so that both sides of a UV seam are kept
    pairs, inverse = np.unique(
        np.stack([fine.quads.ravel(), fine.uv_quads.ravel()], axis=1), axis=0, return_inverse=True
    )
    quads = inverse.reshape(-1, 4)
    faces = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    faces = faces[(faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])]
    quad_faces = np.concatenate([fine.quads[:, [0, 1, 2]], fine.quads[:, [0, 2, 3]]])
    normals = vertex_normals(positions, quad_faces)[pairs[:, 0]]
    levels = HEAD_LEVELS if part.name == "head" else PART_LEVELS
    faces, matrix = subdivide_midpoint(faces, len(pairs), levels)
    points, normals, uv = matrix @ positions[pairs[:, 0]], matrix @ normals, matrix @ fine.uv[pairs[:, 1]]
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    size = len(points)
    skin = part.name == "head"
    return Surface(
        points,
        faces,
        normals,
        sample_texture(linear_from_srgb(albedo.astype(np.float32) / 255), uv),
        np.full(size, 0.028),
        np.full(size, 0.06 if part.name in EYES else 0.38),
        np.full(size, 1.0 if skin else 0.2),
    )


def asset_surface(asset: FaceAsset) -> Surface:
    """Join all parts of a head into one surface. Teeth and tongue stay behind closed lips. Lashes are left out because
    they need transparency."""
    return joined(tuple(part_surface(part, asset.albedo) for part in asset.parts if part.name != "lashes"))


VIEWS = (("front", 0.0), ("left", 35.0), ("right", -35.0))
LIGHTS = (("flat", "flat", 0.0), ("novel", "studio", -25.0))
"""Name in the figures, light of ``photographs.lighting``, its turn in degrees. No photo has the second light."""
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
    """Render the neutral head before grey: (``SIZE``, ``SIZE``, 3) uint8 by (light, view)."""
    cage = np.concatenate([part.vertices for part in asset.parts]).astype(np.float64)
    middle = face_middle(load_template().landmarks478.positions(cage))
    pictures, bvh = {}, None
    for light_name, light, turn in LIGHTS:
        lamps = lighting(light, turn, middle)
        harmonics = _harmonics(lamps, middle)
        surface = asset_surface(_with_relief(asset, harmonics))
        bvh = bvh or build_bvh(surface.vertices, surface.faces)
        for view_name, yaw in VIEWS:
            camera = look_at(yaw, 0, 0, DISTANCE, SIZE * DISTANCE / VIEW_METRES, (SIZE, SIZE), middle)
            view = trace_view(surface, camera, lamps, samples=4, ambient_rays=4, bvh=bvh)
            linear = view.over(np.full(3, 0.25))
            if asset.hair_strands is not None:
                hair = draw_hair(asset.hair_strands, camera, surface.vertices, surface.faces, harmonics)
                linear = hair.color + linear * (1 - hair.alpha[..., None])
            film = Film(exposure=0.95, noise=0.0)
            pictures[light_name, view_name] = develop(linear, film, np.random.default_rng(0))
    return pictures


def _with_relief(asset: FaceAsset, light: np.ndarray) -> FaceAsset:
    """Bake the relief's shading under a light (9, 3) into the albedo, because the ray tracer has no bump mapping."""
    if asset.detail is None:
        return asset
    shading = relief_shading(asset.detail, load_template(), asset.parts[0].vertices, light, len(asset.albedo))
    linear = linear_from_srgb(asset.albedo) * shading[..., None]
    return replace(asset, albedo=srgb_bytes(linear), detail=None)


def _harmonics(lamps: Lighting, middle: np.ndarray) -> np.ndarray:
    """(9, 3) SH coefficients of lamps and sky at a face at ``middle`` (3,), for the hair, which is not ray traced."""
    ways = np.array([lamp.position - middle for lamp in lamps.lights]).reshape(-1, 3)
    distances = np.linalg.norm(ways, axis=1, keepdims=True)
    colours = np.array([lamp.irradiance * (lamp.position**2).sum() for lamp in lamps.lights]).reshape(-1, 3)
    around = 0.5 * (lamps.environment.ground + lamps.environment.sky)
    up = np.array([[0.0, 1.0, 0.0], [0.0, -1.0, 0.0]])  # directions of the difference between sky and ground
    half = 0.5 * (lamps.environment.sky - lamps.environment.ground)
    directions = np.concatenate([ways / np.maximum(distances, 1e-9), up])
    return light_from_directions(directions, np.concatenate([colours / distances**2, [half, -half]]), around)


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
    rows = [[pictures[light, view] for view, _ in VIEWS] for light, _, _ in LIGHTS]
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
        for light, _, _ in LIGHTS:
            value = {view: np.nan_to_num(person.distances[light, view], nan=1.0) for view, _ in VIEWS}
            figures[f"person.{name}.front.{light}"] = float(value["front"])
            figures[f"person.{name}.side.{light}"] = float((value["left"] + value["right"]) / 2)
        figures[f"person.{name}.photos"] = person.photos
    for view in ("front", "side"):
        for light, _, _ in LIGHTS:
            values = [figures[f"person.{name}.{view}.{light}"] for name in people]
            figures[f"likeness.{view}.{light}"] = float(np.mean(values))
        figures[f"likeness.{view}"] = float(np.mean([figures[f"likeness.{view}.{light}"] for light, _, _ in LIGHTS]))
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
