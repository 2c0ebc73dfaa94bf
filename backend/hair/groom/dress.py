"""Guide strands with all that grows hairs between them: of a groom, or for guides that a fit has found."""

from dataclasses import replace

import numpy as np
from scipy.spatial import cKDTree

from backend.geometry.subdivision import catmull_clark
from backend.geometry.template import triangles_from_quads
from backend.hair.groom.description import Groom, load_grooms
from backend.hair.groom.grow import GrownGroom, grow_guides, top_map
from backend.hair.groom.scalp import BEYOND, chart_uv, density_at_edge, lock_variation
from backend.hair.hair_strands import FACIAL_GUIDES, HairStrands, Scalp, resampled_to

EUMELANIN, PHEOMELANIN = np.array([0.506, 0.841, 1.653]), np.array([0.343, 0.733, 1.924])
"""Absorption of red, green and blue by melanin of a unit amount, as Blender's Principled Hair has it."""


def melanin_albedo(melanin: float, redness: float, radial: float = 0.35) -> np.ndarray:
    """(3,) albedo, linear light, of hair with so much melanin, of which ``redness`` is red, both 0 to 1.

    Principled Hair's own absorption, its colour by d'Eon's fit for a radial roughness, and the light that such hair
    reflects (``hair_colour`` of the extension).
    """
    amount = -np.log(max(1.0 - melanin, 1e-4))
    absorption = amount * ((1.0 - redness) * EUMELANIN + redness * PHEOMELANIN)
    width = np.polyval([0.245, 5.574, -10.73, 2.532, -0.215, 5.969], radial)
    return 0.012 + 0.83 * np.exp(-width * np.sqrt(absorption)) ** 0.73


def groom_strands(groom: Groom, head_vertices: np.ndarray, **fitted: np.ndarray) -> HairStrands:
    """``groom`` on a head (V, 3) as strands, in its own colour; ``fitted`` as of ``grow_guides``."""
    grown = grow_guides(groom, head_vertices, **fitted)
    return strands_of(grown, melanin_albedo(groom.chain["melanin"], groom.chain["redness"], groom.chain["radial"]))


def strands_of(grown: GrownGroom, albedo: np.ndarray) -> HairStrands:
    """Strands of a grown groom whose hair has an albedo (3,), linear light."""
    points, free = grown.points, grown.free
    if len(free):
        points = np.concatenate([points, resampled_to(free, points.shape[1]).astype(np.float32)])
    count, loose = len(points), len(free)
    lighter = np.minimum(1.0, albedo * (1.0 + grown.chain["tip_lighter"] * 3.0))
    root, tip = (np.broadcast_to(colour.astype(np.float32), (count, 3)).copy() for colour in (albedo, lighter))
    uv = np.concatenate([grown.root_uv, np.broadcast_to(grown.free_uv, (loose, 2))]).astype(np.float32)
    return HairStrands(
        points=points,
        root_uv=uv,
        width=np.full(count, 0.008, np.float32),
        root_colour=root,
        tip_colour=tip,
        hair_radius=grown.chain["radius"],
        style=grown.name,
        parameters={},
        scalp=grown.scalp,
        scalp_uv=np.concatenate([grown.scalp_uv, np.zeros((loose, 2), np.float32)]),
        free=(np.arange(count) >= count - loose).astype(np.float32),
        chain={**grown.chain, "preserve": float(loose == 0)},
    )


LIKE = {0.01: "buzz", 0.1: "side_part", np.inf: "long_side"}
"""Median length of fitted guides, metres, below which hairs grow between them as in a groom."""
_REACH = (0.004, 0.020)
"""Metres, least and most, about a fitted root within which hair grows: one and a half times their distance."""
_NEAR_ROOTS = 0.03
"""Metres about the roots within which faces are refined: more than a face is long, so that the border is among them."""
_FACIAL = 0.35
"""Share of the scalp's hairs that grow on a chin or a brow."""


def dressed(strands: HairStrands, vertices: np.ndarray, quads: np.ndarray, ears: np.ndarray) -> HairStrands:
    """Fitted strands with a scalp about their roots on a head's skin (V, 3), quads (F, 4), and with the chain of a
    groom of their length. ``ears`` : (V,) 0-1, where nothing grows. A groom's scalp stays, and gets that of a beard
    which was joined to it."""
    if strands.scalp is None:
        return _dressed(strands, vertices, quads, ears)
    count = len(strands.scalp_uv)
    if count == len(strands.points):
        return strands
    names = ("points", "root_uv", "width", "root_colour", "tip_colour")
    own = {name: getattr(strands, name)[count:] for name in names}
    beard = _dressed(replace(strands, scalp=None, scalp_uv=None, free=None, chain=None, **own), vertices, quads, ears)
    both = {key: np.concatenate([value, getattr(beard.scalp, key)]) for key, value in vars(strands.scalp).items()}
    both["triangles"][len(strands.scalp.triangles) :] += len(strands.scalp.vertices)
    roots = {key: np.concatenate([getattr(strands, key)[:count], getattr(beard, key)]) for key in ("scalp_uv", "free")}
    return replace(strands, scalp=Scalp(**both), **roots)


def _dressed(strands: HairStrands, vertices: np.ndarray, quads: np.ndarray, ears: np.ndarray) -> HairStrands:
    roots = strands.points[:, 0].astype(np.float64)
    facial = np.arange(len(roots)) >= len(roots) - strands.parameters.get(FACIAL_GUIDES, 0.0)
    tree = cKDTree(roots)
    near = tree.query(vertices)[0] < _NEAR_ROOTS
    whole = quads[near[quads].any(1) & (quads[:, 2] != quads[:, 3])]
    used, numbers = np.unique(whole, return_inverse=True)
    faces = numbers.reshape(-1, 4)
    places, ear = vertices[used].astype(np.float64), ears[used].astype(np.float64)
    for _ in range(2):
        matrix, faces = catmull_clark(faces, len(places))
        places, ear = matrix @ places, matrix @ ear
    triangles = triangles_from_quads(faces)
    far, root = tree.query(places)
    beside = tree.query(roots, k=min(3, len(roots)))[0][:, -1] if len(roots) > 1 else np.zeros(1)
    covered = (far < np.clip(1.5 * np.median(beside), *_REACH)) & (ear < 0.5)
    edge = np.where(covered, 1.0, -1.0) * BEYOND
    if covered.any() and not covered.all():
        edge = np.where(covered, cKDTree(places[~covered]).query(places)[0], -cKDTree(places[covered]).query(places)[0])
    length = np.median(np.linalg.norm(np.diff(strands.points, axis=1), axis=2).sum(1))
    groom = load_grooms()[next(name for most, name in LIKE.items() if length < most)]
    chain = {**groom.chain, "islands": 0.0}
    kept = (edge > -BEYOND)[triangles].all(1)
    used, numbers = np.unique(triangles[kept] if kept.any() else triangles, return_inverse=True)
    places, edge, on_face = places[used], edge[used], facial[root[used]]
    density = density_at_edge(edge, places, chain["fall"], chain["jitter"]) * np.where(on_face, _FACIAL, 1.0)
    uv = chart_uv(places)
    maps = [density, edge, np.where(on_face, 0.0, top_map(groom, places)), np.full(len(places), length)]
    scalp = Scalp(
        places.astype(np.float32),
        numbers.reshape(-1, 3).astype(np.int32),
        uv.astype(np.float32),
        *(values.astype(np.float32) for values in (*maps, lock_variation(places))),
    )
    nearest = cKDTree(places).query(roots)[1]
    free = np.zeros(len(roots), np.float32)
    return replace(
        strands, scalp=scalp, scalp_uv=uv[nearest].astype(np.float32), free=free, chain={**chain, "preserve": 1.0}
    )
