"""Prior of skin for the texture: ``python -m trainer skin-prior`` writes ``assets/skin_prior.safetensors``.

Mean and principal directions of whole-head log albedo at the head's vertices, low frequencies only. The samples are
MakeHuman's CC0 skins (``makehuman/skins`` of ``LIKENESS_SHARED``, see docs/evaluation.md) and the true skins of
synthetic people; both sources weigh the same. Every skin is averaged with its mirror image. Scalp, brows and cavities,
which are no skin, take the colour of the skin around them, and so do the necks of synthetic people, which are painted
in one colour for all. MakeHuman's skins also give the bust's usual colour beside the face's.

Shapes: N skins, C vertices of the head's cage, B of the bust, K principal directions. Begin with ``run``;
``backend/texture/skin_prior.py`` reads the file.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from backend.geometry.surface_fields import smooth_field, surface_operators
from backend.geometry.template import load_template
from backend.geometry.vectors import smoothstep
from backend.rendering.color import linear_from_srgb
from backend.rendering.interpolate import sample_texture
from backend.rig.bust import load_bust
from backend.system.files import write_arrays
from backend.texture.parts import bare_cheeks
from backend.texture.skin_prior import PRIOR_PATH
from backend.texture.surface import head_surface, texture_space
from backend.texture.unwrap import DARKEST
from trainer.engine.disk_cache import shared_folder
from trainer.methods.graph_face.albedo import head_people, true_albedo

_PEOPLE, _MODES = 400, 16
"""Numbers of synthetic people, and of principal directions (``run`` prints their share of the variance)."""
_MAP_SIDE = 256
"""Texels a side of a skin map, about 2 mm each; what is finer, the photos show. MakeHuman's maps hold the whole body
and are reduced to four times this side, for as many texels on the head."""
_SMOOTHING = 0.004
"""Metres over which samples are smoothed, the scale at which the texture's solve takes values from the prior."""
_NO_SKIN = ("scalp", "mouth_interior", "eye_sockets", "brows")


def makehuman_skins() -> Iterator[np.ndarray]:
    """(C + B, 3) log albedo of each of MakeHuman's skins at the vertices of head and bust."""
    template, bust = load_template(), load_bust()
    faces, count = np.s_[: template.head.face_stop], template.head.vertex_stop
    uv = np.zeros((count + len(bust.vertices), 2))
    uv[template.quads[faces]] = template.uv_makehuman[template.uv_makehuman_quads[faces]]
    uv[count + bust.quads] = bust.uv_makehuman[bust.uv_makehuman_quads]
    for path in sorted((shared_folder() / "makehuman" / "skins").glob("*.jpg")):
        picture = np.asarray(Image.open(path).convert("RGB").resize((4 * _MAP_SIDE,) * 2, Image.Resampling.BOX))
        linear = cv2.GaussianBlur(linear_from_srgb(picture).astype(np.float32), (0, 0), 3.0)
        yield np.log(np.maximum(sample_texture(linear, uv), DARKEST))


def synthetic_skins(count: int) -> Iterator[np.ndarray]:
    """(C, 3) log albedo of synthetic people's skins, as painted, without light, at the head's vertices."""
    surface, atlas = head_surface(load_template()), texture_space(load_template(), _MAP_SIDE).skin
    people = head_people(64, 5600, 1)  # pixels a side, seed, photos of each
    for index in range(count):
        logs = np.log(np.maximum(true_albedo(people, index, _MAP_SIDE), DARKEST))
        yield surface.at_cage(atlas, logs, np.ones(len(logs)))[0]


def principal_skins(skins: np.ndarray, shares: np.ndarray, modes: int) -> tuple[np.ndarray, np.ndarray]:
    """Weighted mean (C, 3) and principal directions (K, C, 3), each one standard deviation long.

    skins : (N, C, 3). shares : (N,), sum 1.
    """
    mean = np.tensordot(shares, skins, 1)
    centred = ((skins - mean) * np.sqrt(shares)[:, None, None]).reshape(len(skins), -1)
    _, sizes, directions = np.linalg.svd(centred, full_matrices=False)
    count = min(modes, len(sizes))
    return mean, (sizes[:count, None] * directions[:count]).reshape(count, *mean.shape)


def usual_bust(skins: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each vertex of the bust a line through the skins: log(bust / cheek) = slope * the cheek's log brightness +
    offset, the same on left and right.

    skins : (N, C + B, 3) as of ``makehuman_skins``. Returns slope and offset as (2, B, 3), and (3,) the
    standard deviation, over skins, of the bust's mean difference from the line.
    """
    template, points = load_template(), load_bust().vertices
    mirrored = ((points - points[:, None] * np.float32([-1, 1, 1])) ** 2).sum(2).argmin(1)
    cheek = np.median(skins[:, bare_cheeks(template)], axis=1)  # (N, 3)
    ratios = skins[:, template.head.vertex_stop :] - cheek[:, None]
    ratios = 0.5 * (ratios + ratios[:, mirrored])
    line, *_ = np.linalg.lstsq(design := np.vander(cheek.mean(1), 2), ratios.reshape(len(skins), -1), rcond=None)
    off = (ratios - (design @ line).reshape(ratios.shape)).mean(1)  # (N, 3)
    return line.reshape(2, *points.shape), np.sqrt((off**2).sum(0) / (len(skins) - 2))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``skin-prior``."""
    parser.add_argument("--out", type=Path, default=PRIOR_PATH, help="file to write")
    parser.add_argument("--people", type=int, default=_PEOPLE, help="number of synthetic people")
    parser.add_argument("--modes", type=int, default=_MODES, help="number of principal directions")


def run(arguments: argparse.Namespace) -> int:
    """Write the prior."""
    template = load_template()
    surface = head_surface(template)
    with_bust = np.stack(list(makehuman_skins()))
    sources = [with_bust[:, : surface.count], list(synthetic_skins(arguments.people))]
    cage = template.vertices[: surface.count].astype(np.float64)
    operators = surface_operators(cage, surface.cage_triangles)
    regions = {name: region[: surface.count] for name, region in surface.regions.items()}

    def smooth(logs: np.ndarray, left_out: tuple[str, ...]) -> np.ndarray:
        excluded = np.maximum.reduce([regions[name] for name in left_out])
        skin = 1.0 - smoothstep(0.05, 0.4, excluded)
        return smooth_field(operators, 0.5 * (logs + logs[surface.mirror]), skin, _SMOOTHING, None, 1e-6)

    no_skin = (_NO_SKIN, (*_NO_SKIN, "neck"))  # synthetic people's necks are painted alike
    skins = np.stack([smooth(logs, names) for source, names in zip(sources, no_skin, strict=True) for logs in source])
    shares = np.concatenate([np.full(len(source), 1.0 / (len(sources) * len(source))) for source in sources])
    mean, modes = principal_skins(skins, shares, arguments.modes)
    arrays = dict(zip(("mean", "modes", "bust", "bust_deviation"), (mean, modes, *usual_bust(with_bust)), strict=True))
    write_arrays(arguments.out, {name: array.astype(np.float16) for name, array in arrays.items()})
    variance = ((skins - mean) ** 2).mean((1, 2)) @ shares
    print(f"{len(skins)} skins, {len(modes)} directions hold {(modes**2).mean((1, 2)).sum() / variance:.3f}")
    return 0
