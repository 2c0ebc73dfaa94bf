"""Guide strands with all that grows hairs between them: of a groom, or for guides that a fit has found."""

from dataclasses import replace

import numpy as np
from scipy.spatial import cKDTree

from backend.geometry.subdivision import refined
from backend.geometry.template import triangles_from_quads
from backend.hair.colours import UNKNOWN
from backend.hair.groom.description import Groom, load_grooms
from backend.hair.groom.grow import GrownGroom, grow_guides
from backend.hair.groom.scalp import BEYOND, density_at_edge, lock_variation
from backend.hair.hair_strands import HairStrands, Scalp, lock_width, resampled_to


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
_NEAR_ROOTS = _REACH[1] + BEYOND
"""Metres about the roots within which faces are refined."""
_CORNER = 0.15
"""Factor on map ``Head``, which puts a beard's skin in the corner of the scalp's map that no scalp reaches: in the
chart about the crown a throat is torn, and nodes found no place for any root."""
_FACIAL = 1.6
"""Hairs of a full beard relative to the scalp's, at most as many: fewer grow, but thicker ones than these; with a third
white moustaches vanish."""


def dressed(strands: HairStrands, *skin: np.ndarray) -> HairStrands:
    """Strands with a scalp about the roots of their beard; a groom's own stays. ``skin`` : a head's, cut at the seams
    of map ``Head``: vertices (V, 3), their UV (V, 2), quads (F, 4), and (V,) 0-1, where ears are and nothing grows."""
    if strands.scalp is None:
        return _dressed(strands, *skin)
    count = len(strands.scalp_uv)
    if count == len(strands.points):
        return strands
    names = ("points", "root_uv", "width", "root_colour", "tip_colour")
    own = {name: getattr(strands, name)[count:] for name in names}
    beard = _dressed(replace(strands, scalp=None, scalp_uv=None, free=None, chain=None, **own), *skin)
    both = {key: np.concatenate([value, getattr(beard.scalp, key)]) for key, value in vars(strands.scalp).items()}
    both["triangles"][len(strands.scalp.triangles) :] += len(strands.scalp.vertices)
    roots = {key: np.concatenate([getattr(strands, key)[:count], getattr(beard, key)]) for key in ("scalp_uv", "free")}
    return replace(strands, scalp=Scalp(**both), **roots)


def _dressed(
    strands: HairStrands, vertices: np.ndarray, uv: np.ndarray, quads: np.ndarray, ear: np.ndarray
) -> HairStrands:
    roots = strands.points[:, 0].astype(np.float64)
    tree = cKDTree(roots)
    near = tree.query(vertices)[0] < _NEAR_ROOTS
    whole = quads[near[quads].any(1) & (quads[:, 2] != quads[:, 3])]
    used, numbers = np.unique(whole, return_inverse=True)
    faces = numbers.reshape(-1, 4)
    matrix, faces = refined(faces, len(used), 2)
    places, uv, ear = (matrix @ each[used].astype(np.float64) for each in (vertices, uv, ear))
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
    places, uv, edge = places[used], _CORNER * uv[used].astype(np.float32), edge[used]
    share = np.minimum(_FACIAL * (strands.width / lock_width(strands.points)) ** 2, 1.0)
    density = share[tree.query(places, k=min(3, len(roots)))[1]].reshape(len(places), -1).mean(1)
    density *= density_at_edge(edge, places, chain["fall"], chain["jitter"])
    maps = density, edge, np.zeros(len(places)), np.full(len(places), length), lock_variation(places)
    scalp = Scalp(np.float32(places), np.int32(numbers.reshape(-1, 3)), uv, *map(np.float32, maps))
    at, free = uv[cKDTree(places).query(roots)[1]], np.zeros(len(roots), np.float32)
    return replace(strands, scalp=scalp, scalp_uv=at, free=free, chain={**chain, "preserve": 1.0})
