"""Contact sheet of random people of the prior: ``python -m trainer.template.pictures.people_sheet``."""

from __future__ import annotations

import numpy as np
from PIL import Image

from backend.geometry.subdivision import Subdivision, subdivide
from backend.geometry.template import Template, load_template, triangles_from_quads
from backend.rendering.render import render_linear
from backend.rendering.spherical_harmonics import light_from_directions
from trainer.heads.paint import EyeLook, brow_density, lash_density, paint_eyeball
from trainer.template.pictures.key_sheet import FOLDER, portrait_camera

COLUMNS, ROWS = 4, 4
YAWS = (0.0, 38.0)
TILE = 220
SPAN = 0.295
"""Metres across a tile."""

LIGHT = light_from_directions(
    np.array([[-0.5, 0.6, 0.8], [0.7, 0.1, 0.5], [0.0, 0.2, 1.0]]), np.array([[1.0], [0.35], [0.2]]) * np.ones(3), 0.28
)
WHITE_SKIN = np.array([0.76, 0.60, 0.50])
MELANIN, BLOOD = np.array([0.95, 1.75, 2.9]), np.array([0.25, 1.55, 1.25])
"""Skin without pigment, and absorption per unit of pigment, in linear R, G, B."""
MOUTH_COLORS = {"teeth_upper": (0.7, 0.66, 0.55), "teeth_lower": (0.7, 0.66, 0.55), "tongue": (0.4, 0.1, 0.1)}
IRISES = ((0.06, 0.03, 0.015), (0.11, 0.06, 0.02), (0.10, 0.16, 0.24), (0.12, 0.13, 0.07))


def random_identity(template: Template, generator: np.random.Generator) -> np.ndarray:
    """(K,) random coefficients from the prior."""
    return generator.normal(size=len(template.identity_modes)).astype(np.float32)


def person_colors(
    template: Template, level: Subdivision, cage: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """(V_level, 3) linear albedo of a random person with the given cage (V, 3)."""
    points = level.positions(cage).astype(np.float64)
    region = {name: level.matrix @ mask for name, mask in template.regions.items()}
    melanin, blood = np.exp(generator.uniform(np.log(0.10), np.log(0.95))), generator.uniform(0.15, 0.30)
    head = slice(0, level.parts["head"].vertex_stop)
    marks = template.landmarks478.positions(cage).astype(np.float64)
    redness = blood * (
        1 + 0.9 * region["lips"] + 0.25 * region["cheeks"] + 0.35 * region["nose"] + 0.5 * region["ears"]
    )
    colors = WHITE_SKIN * np.exp(-melanin * MELANIN * (1 + 0.25 * region["lips"])[:, None] - redness[:, None] * BLOOD)
    inside = np.maximum(region["mouth_interior"], region["eye_sockets"])[:, None]
    colors = colors * (1 - inside) + inside * np.array([0.25, 0.06, 0.05])
    hair = np.array([0.035, 0.024, 0.018]) * generator.uniform(0.5, 2.0 if melanin < 0.3 else 1.0)
    stubble = 0.35 * np.clip(region["scalp"], 0, 1)
    cover = np.zeros(len(points))
    cover[head] = brow_density(points[head], marks, generator.uniform(0.8, 1.3), int(generator.integers(1 << 30)))
    cover[head] = np.maximum(cover[head], lash_density(points[head], marks))
    cover = np.maximum(cover, stubble)[:, None]
    colors = colors * (1 - cover) + cover * hair
    look = EyeLook(iris=IRISES[int(generator.integers(len(IRISES)))])
    for name in ("eye_left", "eye_right"):
        part, fine = template.parts[name], level.parts[name]
        centre = cage[part.vertex_start : part.vertex_stop].mean(0).astype(np.float64)
        ball = slice(fine.vertex_start, fine.vertex_stop)
        colors[ball] = paint_eyeball(points[ball], centre, np.array([0.0, 0.0, 1.0]), look, 7)
    for name, color in MOUTH_COLORS.items():
        colors[level.parts[name].vertex_start : level.parts[name].vertex_stop] = color
    return colors


def draw_people(template: Template, seed: int = 16) -> Image.Image:
    """Sheet of sixteen random people, each in front and three-quarter view."""
    level, generator = subdivide(template, 2), np.random.default_rng(seed)
    lashes = level.parts["lashes"]
    quads = np.delete(level.quads, np.arange(lashes.face_start, lashes.face_stop), axis=0)
    faces = triangles_from_quads(quads)
    sheet = Image.new("RGB", (COLUMNS * len(YAWS) * TILE, ROWS * TILE), "white")
    for index in range(COLUMNS * ROWS):
        identity = random_identity(template, generator)
        cage = template.vertices + np.tensordot(identity, template.identity_modes, 1)
        colors = person_colors(template, level, cage, generator)
        points = level.positions(cage)
        target = 0.5 * (points[: lashes.vertex_start].min(0) + points[: lashes.vertex_start].max(0))
        for place, yaw in enumerate(YAWS):
            camera = portrait_camera(target, yaw, TILE, SPAN)
            tile = render_linear(points, faces, camera, colors=colors, light=LIGHT).over((228, 228, 228))
            column, row = index % COLUMNS, index // COLUMNS
            sheet.paste(Image.fromarray(tile), ((column * len(YAWS) + place) * TILE, row * TILE))
    return sheet


if __name__ == "__main__":
    draw_people(load_template()).save(FOLDER / "random_people.jpg", quality=82, optimize=True)
