"""Guide strands with all that grows hairs between them: of a groom, or for guides that a fit has found."""

from dataclasses import replace

import numpy as np
from scipy.spatial import cKDTree

from backend.geometry.subdivision import refined
from backend.geometry.template import triangles_from_quads
from backend.hair.colours import UNKNOWN
from backend.hair.groom.description import Groom, load_grooms
from backend.hair.groom.grow import GrownGroom, grow_guides
from backend.hair.groom.scalp import BEYOND, chart_uv, density_at_edge, lock_variation
from backend.hair.hair_strands import HairStrands, Scalp, resampled_to


def groom_strands(groom: Groom, head_vertices: np.ndarray, **fitted: np.ndarray) -> HairStrands:
    """``groom`` on a head (V, 3) as strands; ``fitted`` as of ``grow_guides``."""
    return strands_of(grow_guides(groom, head_vertices, **fitted))


def strands_of(grown: GrownGroom) -> HairStrands:
    """Strands of a grown groom, brown until photos tell their colour."""
    points, free = grown.points, grown.free
    if len(free):
        points = np.concatenate([points, resampled_to(free, points.shape[1]).astype(np.float32)])
    count, loose = len(points), len(free)
    uv = np.concatenate([grown.root_uv, np.broadcast_to(grown.free_uv, (loose, 2))]).astype(np.float32)
    return HairStrands(
        points=points,
        root_uv=uv,
        width=np.full(count, 0.008, np.float32),
        root_colour=np.tile(np.float32(UNKNOWN), (count, 1)),
        tip_colour=np.tile(np.float32(UNKNOWN), (count, 1)),
        hair_radius=grown.chain["radius"],
        style=grown.name,
        parameters={},
        scalp=grown.scalp,
        scalp_uv=np.concatenate([grown.scalp_uv, np.zeros((loose, 2), np.float32)]),
        free=(np.arange(count) >= count - loose).astype(np.float32),
        chain={**grown.chain, "preserve": float(loose == 0)},
    )


_LIKE = "side_part"
"""The groom as whose hairs a beard's grow between its guides."""
_REACH = (0.004, 0.020)
"""Metres, least and most, about a fitted root within which hair grows: one and a half times their distance."""
_NEAR_ROOTS = 0.03
"""Metres about the roots within which faces are refined: more than a face is long, so that the border is among them."""
_FACIAL = 0.35
"""Share of the scalp's hairs that grow on a chin."""


def dressed(strands: HairStrands, vertices: np.ndarray, quads: np.ndarray, ears: np.ndarray) -> HairStrands:
    """Strands with a scalp about the roots of their beard on a head's skin (V, 3), quads (F, 4); a groom's own stays.
    ``ears`` : (V,) 0-1, where nothing grows."""
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
    tree = cKDTree(roots)
    near = tree.query(vertices)[0] < _NEAR_ROOTS
    whole = quads[near[quads].any(1) & (quads[:, 2] != quads[:, 3])]
    used, numbers = np.unique(whole, return_inverse=True)
    faces = numbers.reshape(-1, 4)
    places, ear = vertices[used].astype(np.float64), ears[used].astype(np.float64)
    matrix, faces = refined(faces, len(places), 2)
    places, ear = matrix @ places, matrix @ ear
    triangles = triangles_from_quads(faces)
    far = tree.query(places)[0]
    beside = tree.query(roots, k=min(3, len(roots)))[0][:, -1] if len(roots) > 1 else np.zeros(1)
    covered = (far < np.clip(1.5 * np.median(beside), *_REACH)) & (ear < 0.5)
    edge = np.where(covered, 1.0, -1.0) * BEYOND
    if covered.any() and not covered.all():
        edge = np.where(covered, cKDTree(places[~covered]).query(places)[0], -cKDTree(places[covered]).query(places)[0])
    length = np.median(np.linalg.norm(np.diff(strands.points, axis=1), axis=2).sum(1))
    chain = {**load_grooms()[_LIKE].chain, "islands": 0.0}
    kept = (edge > -BEYOND)[triangles].all(1)
    used, numbers = np.unique(triangles[kept] if kept.any() else triangles, return_inverse=True)
    places, edge = places[used], edge[used]
    density = density_at_edge(edge, places, chain["fall"], chain["jitter"]) * _FACIAL
    uv = chart_uv(places)
    maps = [density, edge, np.zeros(len(places)), np.full(len(places), length)]
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
