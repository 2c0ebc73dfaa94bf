"""Parts of the template: atlas, contours, regions, pockets.

Bake the rows of vertices along which the face's outline slides when the head turns.

Make the UV map ``Head``: MakeHuman's head chart upright with an enlarged face, all other charts in a strip below.

Soft region masks of the template, from MakeHuman's CC0 texture masks, UV charts and distances to landmarks.

Rules by which eyes, teeth, tongue and lashes follow the head's identity offsets; all are linear in them.

The inside of the mouth (pocket): keep it behind the skin of the mean face, and move it with the skin around it.

Keep closed lips closed under identity offsets.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from PIL import Image
from scipy.sparse.csgraph import dijkstra

from backend.geometry.normals import vertex_normals
from backend.geometry.subdivision import linear_split
from backend.geometry.template import PartRange
from backend.geometry.vectors import smoothstep
from backend.rig.measure import MouthLoops
from backend.rig.mouth import abscissas_across, lips_apart, share_between_lips
from trainer.template.makehuman import BaseMesh, Selection, data_folder
from trainer.template.registration import closest_points, vertex_areas

MARGIN = 0.004
"""Empty border around every chart, in units of the square (8 pixels at 2048)."""

FACE_HALF_WIDTH = 0.147
"""Half the width, in atlas units, of the part of MakeHuman's head chart that keeps its proportions (ear to ear)."""

FACE_HEIGHT = 0.225
"""Height of that part, from below the chin to the hairline, in atlas units."""

FACE_SHARE = 0.80
"""Share of the square's width for this part; the rest of the head is compressed into the remainder."""

STRIP_HEIGHT = 0.17
"""Height of the strip for the other charts."""

_DENSITY = {
    "mouth": 0.55,
    "socket": 0.45,
    "neck": 0.75,
    "eye_left": 2.6,
    "eye_right": 2.6,
    "teeth_upper": 1.2,
    "teeth_lower": 1.2,
    "tongue": 0.8,
    "lashes": 1.0,
}
"""Relative texel density (UV length per metre) of the charts in the strip."""


@dataclass(frozen=True)
class UVMap:
    """(T, 2) float64 coordinates, v up, and (F, 4) int64 quads into them."""

    uv: np.ndarray
    quads: np.ndarray


def makehuman_map(base: BaseMesh, selection: Selection) -> UVMap:
    """The template's part of MakeHuman's original atlas."""
    used, quads = np.unique(base.uv_quads[selection.hm08_face], return_inverse=True)
    return UVMap(base.uv[used], quads.reshape(-1, 4))


def split_quads(uv_map: UVMap, start: int, stop: int) -> UVMap:
    """Split the quads ``start:stop`` (whole charts) of a map in four each, which replace their parents."""
    used, numbers = np.unique(uv_map.quads[start:stop], return_inverse=True)
    matrix, finer = linear_split(numbers.reshape(-1, 4), len(used))
    added = (matrix @ uv_map.uv[used])[len(used) :]
    names = np.concatenate([used, len(uv_map.uv) + np.arange(len(added))])
    quads = np.concatenate([uv_map.quads[:start], names[finer], uv_map.quads[stop:]])
    return UVMap(np.concatenate([uv_map.uv, added]), quads)


def chart_labels(quads: np.ndarray, count: int) -> np.ndarray:
    """(F,) connected component of each quad in UV space; ``count`` is the number of UV vertices."""
    edges = np.concatenate([quads[:, [corner, (corner + 1) % 4]] for corner in range(4)])
    graph = sp.coo_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(count, count))
    labels = sp.csgraph.connected_components(graph, directed=False)[1]
    return np.unique(labels[quads[:, 0]], return_inverse=True)[1]


def _squeezed(distance: np.ndarray, kept: float, slope: float, reach: float, room: float) -> np.ndarray:
    """Monotone map of distances in [0, reach] onto [0, room]: linear with ``slope`` up to ``kept``, increasingly
    compressed beyond, with a continuous derivative."""
    left, beyond = room - slope * kept, np.clip((distance - kept) / (reach - kept), 0.0, 1.0)
    share = 0.5 * left  # this part is compressed evenly, or the outermost quads would vanish
    power = (slope * (reach - kept) - share) / (left - share)
    curve = (left - share) * (1.0 - (1.0 - beyond) ** power) + share * beyond
    return np.where(distance < kept, slope * distance, slope * kept + curve)


def _head_chart(uv: np.ndarray) -> np.ndarray:
    """MakeHuman's head chart upright (v up, the person's left at larger u) in [0, 1] x [STRIP_HEIGHT, 1].

    The face keeps its proportions; the back and the top of the head are compressed.
    """
    low, high = uv.min(0), uv.max(0)
    slope = 0.5 * FACE_SHARE / FACE_HALF_WIDTH
    across, up = uv[:, 1] - (low[1] + high[1]) / 2, high[0] - uv[:, 0]
    sideways = _squeezed(np.abs(across), FACE_HALF_WIDTH, slope, (high[1] - low[1]) / 2, 0.5 - MARGIN)
    height = _squeezed(up, FACE_HEIGHT, slope, high[0] - low[0], 1.0 - STRIP_HEIGHT - 2 * MARGIN)
    return np.stack([0.5 + np.sign(across) * sideways, STRIP_HEIGHT + MARGIN + height], axis=1)


def _polar_eye(points: np.ndarray, front: bool) -> np.ndarray:
    """Azimuthal equidistant map of half an eyeball (around +z or -z) onto the unit disc."""
    centred = points - points.mean(0)
    radius = np.hypot(centred[:, 0], centred[:, 1])
    polar = np.arctan2(radius, centred[:, 2] if front else -centred[:, 2])
    direction = centred[:, :2] / np.maximum(radius, 1e-12)[:, None]
    if not front:
        direction = direction * [-1.0, 1.0]
    return direction * (polar / (np.pi / 2))[:, None]


def _signed_area(uv: np.ndarray, quads: np.ndarray) -> np.ndarray:
    """(F,) signed areas of UV quads."""
    first, second = uv[quads[:, 2]] - uv[quads[:, 0]], uv[quads[:, 3]] - uv[quads[:, 1]]
    return 0.5 * (first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0])


def _surface_area(points: np.ndarray, quads: np.ndarray) -> float:
    """Summed area of 3D quads."""
    first, second = points[quads[:, 2]] - points[quads[:, 0]], points[quads[:, 3]] - points[quads[:, 1]]
    return float(0.5 * np.linalg.norm(np.cross(first, second), axis=1).sum())


def pack_shelves(sizes: Sequence[tuple[float, float]], width: float) -> tuple[list[tuple[float, float]], float]:
    """Pack boxes on shelves, tallest first; returns their lower-left corners and the total height."""
    corners: list[tuple[float, float]] = [(0.0, 0.0)] * len(sizes)
    x = y = shelf = 0.0
    for index in sorted(range(len(sizes)), key=lambda i: (-sizes[i][1], -sizes[i][0])):
        box_width, box_height = sizes[index]
        if x > 0 and x + box_width > width:
            x, y, shelf = 0.0, y + shelf, 0.0
        corners[index] = (x, y)
        x, shelf = x + box_width, max(shelf, box_height)
    return corners, y + shelf


def _part_of_faces(selection: Selection) -> np.ndarray:
    """(F,) part name of each quad."""
    names = np.empty(len(selection.quads), dtype=object)
    for name, part in selection.parts.items():
        names[part.face_start : part.face_stop] = name
    return names


def head_map(base: BaseMesh, selection: Selection) -> UVMap:
    """The UV map ``Head`` in [0, 1]^2 without overlaps."""
    original = makehuman_map(base, selection)
    points = base.vertices[selection.hm08_vertex]
    parts, labels = _part_of_faces(selection), chart_labels(original.quads, len(original.uv))
    uv = np.full_like(original.uv, np.nan)
    head_label = np.bincount(labels[parts == "head"]).argmax()
    strip: list[tuple[np.ndarray, np.ndarray]] = []  # UV vertex ids and their coordinates, scaled by density
    for label in np.unique(labels):
        faces = np.flatnonzero(labels == label)
        ids, quads = np.unique(original.quads[faces], return_inverse=True)
        quads = quads.reshape(-1, 4)
        if label == head_label:
            uv[ids] = _head_chart(original.uv[ids])
            continue
        chart, name = original.uv[ids].copy(), str(parts[faces[0]])
        corners = selection.quads[faces]
        if name.startswith("eye"):
            where = np.zeros(len(ids), dtype=int)
            where[quads.ravel()] = corners.ravel()
            part = selection.parts[name]
            eye = points[part.vertex_start : part.vertex_stop]
            middle = eye.mean(0)
            front = points[corners].mean((0, 1))[2] > middle[2]
            chart = _polar_eye(np.concatenate([points[where], eye]), front)[: len(ids)]
            key = name
        elif name == "head":
            key = "mouth" if len(faces) > 350 else "socket" if len(faces) > 200 else "neck"
        else:
            key = name
        if _signed_area(chart, quads).sum() < 0:
            chart[:, 0] *= -1
        scale = np.sqrt(_surface_area(points, corners) / np.abs(_signed_area(chart, quads)).sum())
        density = _DENSITY[key] * (0.5 if name.startswith("eye") and not front else 1.0)
        chart = (chart - chart.min(0)) * scale * density
        size = chart.max(0)
        if size[1] > size[0]:
            chart = np.stack([size[1] - chart[:, 1], chart[:, 0]], axis=1)
        strip.append((ids, chart))
    _place_strip(uv, strip)
    return UVMap(uv, original.quads)


def _place_strip(uv: np.ndarray, strip: Sequence[tuple[np.ndarray, np.ndarray]]) -> None:
    """Write the strip's charts into ``uv`` at the largest common scale that fits."""
    low, high = 0.0, 1e3
    for _ in range(60):
        scale = 0.5 * (low + high)
        sizes = [tuple(chart.max(0) * scale + 2 * MARGIN) for _, chart in strip]
        fits = pack_shelves(sizes, 1.0)[1] <= STRIP_HEIGHT and max(size[0] for size in sizes) <= 1.0
        low, high = (scale, high) if fits else (low, scale)
    sizes = [tuple(chart.max(0) * low + 2 * MARGIN) for _, chart in strip]
    for (ids, chart), corner in zip(strip, pack_shelves(sizes, 1.0)[0], strict=True):
        uv[ids] = chart * low + np.array(corner) + MARGIN


ROWS_PER_SIDE = 14
ROW_LENGTH = 22
LONGEST_STEP = 0.018
"""Largest distance in metres between neighbours in a row; a longer step would jump over the ear."""


def bake_contour_rows(
    head_map: UVMap, quads: np.ndarray, points: np.ndarray, landmarks: np.ndarray, mirror: np.ndarray, ears: np.ndarray
) -> np.ndarray:
    """(R, C) int32 rows from the middle of the cheek (or chin) outwards, -1 padded: from the left ear's height over
    the chin to the right ear's.

    A row follows a straight line in the head's UV chart, from the face's middle through a landmark of the jaw line.

    Parameters
    ----------
    quads : (F, 4) the head's quads, corner by corner with ``head_map.quads[:F]``.
    points : (V, 3) positions.
    landmarks : (68, 3) positions of the landmarks on ``points``.
    ears : (V,) mask of the ears, where rows end.
    """
    vertex_uv = np.full((len(points), 2), np.nan)
    vertex_uv[quads.ravel()] = head_map.uv[head_map.quads[: len(quads)].ravel()]
    surface = np.flatnonzero(np.isfinite(vertex_uv[:, 0]) & (vertex_uv[:, 1] > 0.17) & (ears < 0.3))

    def chart_coordinates(position: np.ndarray) -> np.ndarray:
        return vertex_uv[surface[np.linalg.norm(points[surface] - position, axis=1).argmin()]]

    jaw = np.array([chart_coordinates(landmark) for landmark in landmarks[8:17]])  # chin to the left ear
    centre = chart_coordinates(landmarks[33])
    along = np.linspace(0, len(jaw) - 1, ROWS_PER_SIDE)
    outline = np.stack([np.interp(along, np.arange(len(jaw)), jaw[:, axis]) for axis in (0, 1)], axis=1)
    rows = []
    for vertex in outline:
        samples = centre + np.linspace(0.45, 1.45, 160)[:, None] * (vertex - centre)
        distance = np.linalg.norm(vertex_uv[surface][None] - samples[:, None], axis=-1)
        nearest = surface[distance.argmin(1)][distance.min(1) < 0.02]
        row = np.array(list(dict.fromkeys(nearest.tolist())))
        jumps = np.linalg.norm(np.diff(points[row], axis=0), axis=1) > LONGEST_STEP
        row = row[: int(np.argmax(jumps)) + 1 if jumps.any() else None][:ROW_LENGTH].tolist()
        rows.append(row + [-1] * (ROW_LENGTH - len(row)))
    left = np.array(rows)[::-1]  # ear to chin
    right = np.where(left >= 0, mirror[left], -1)[::-1]
    return np.concatenate([left[:-1], right]).astype(np.int32)


REGION_NAMES = (
    "face", "lips", "lip_upper", "lip_lower", "lids_left", "lids_right", "mouth_interior", "nose", "brows", "cheeks",
    "forehead", "chin", "ears", "scalp", "neck", "eye_sockets",
)  # fmt: skip


def _distance_to_polyline(points: np.ndarray, line: np.ndarray) -> np.ndarray:
    """(N,) distance of points (N, 3) to the polyline through (M, 3)."""
    start, step = line[:-1], np.diff(line, axis=0)
    along = ((points[:, None] - start) * step).sum(-1) / np.maximum((step**2).sum(-1), 1e-16)
    nearest = start + np.clip(along, 0.0, 1.0)[..., None] * step
    return np.linalg.norm(points[:, None] - nearest, axis=-1).min(1)


def _texture_mask(name: str, uv: np.ndarray, uv_quads: np.ndarray, quads: np.ndarray, count: int) -> np.ndarray:
    """(count,) one of MakeHuman's masks, sampled at the vertices (maximum over a vertex's UV corners)."""
    pixels = np.asarray(Image.open(data_folder() / "mpfb2" / "textures" / f"mpfb_{name}.jpg").convert("L")) / 255.0
    height, width = pixels.shape
    columns = np.clip((uv[:, 0] * width).astype(int), 0, width - 1)
    rows = np.clip(((1.0 - uv[:, 1]) * height).astype(int), 0, height - 1)
    mask = np.zeros(count)
    np.maximum.at(mask, quads.ravel(), pixels[rows, columns][uv_quads].ravel())
    return mask


def bake_regions(base: BaseMesh, selection: Selection, landmarks: np.ndarray) -> dict[str, np.ndarray]:
    """Region name -> (V,) float32 in [0, 1], mirror-symmetric except for the one-sided ones.

    Parameters
    ----------
    landmarks : (68, 3) landmark positions on the base mesh, metres.
    """
    points = base.vertices[selection.hm08_vertex]
    head = selection.parts["head"]
    count, stop = len(points), head.vertex_stop
    uv_map = makehuman_map(base, selection)
    quads, uv_quads = selection.quads[: head.face_stop], uv_map.quads[: head.face_stop]
    labels = chart_labels(uv_map.quads, len(uv_map.uv))[: head.face_stop]
    sizes = np.bincount(labels)

    def chart(select: np.ndarray) -> np.ndarray:
        """1 where all of a vertex's quads lie in the given charts (so seams belong to the outside)."""
        inside = np.zeros(count)
        inside[quads[np.isin(labels, np.flatnonzero(select))]] = 1.0
        inside[quads[~np.isin(labels, np.flatnonzero(select))]] = 0.0
        return inside

    def texture(name: str) -> np.ndarray:
        mask = _texture_mask(name, uv_map.uv, uv_quads, quads, count)
        return 0.5 * (mask + mask[selection.mirror])

    sockets, mouth = chart((sizes > 200) & (sizes < 350)), chart((sizes > 350) & (sizes < 1000))
    skin = np.zeros(count)
    skin[:stop] = 1.0
    skin *= (1.0 - sockets) * (1.0 - mouth)
    face, lips, lids, ears = (texture(name) * skin for name in ("face", "lips", "eyelids", "ears"))
    face = np.maximum(face, np.maximum(lips, lids))
    x, y, z = points.T
    left = (x > 0).astype(float)
    lids = lids * (np.abs(x) > 0.008)
    mouth_line = np.interp(np.abs(x), np.abs(landmarks[[62, 63, 64], 0]), landmarks[[62, 63, 64], 1])
    upper = (y > mouth_line - 2e-4).astype(float)
    nose_line = np.concatenate([landmarks[27:31], landmarks[31:36]])
    nose = face * smoothstep(0.019, 0.011, _distance_to_polyline(points, nose_line)) * (1.0 - lids) * (1.0 - lips)
    brow_line = landmarks[22:27]
    brow_distance = _distance_to_polyline(points * [1, 1, 1], brow_line)
    brows = face * smoothstep(0.0085, 0.0045, np.minimum(brow_distance, brow_distance[selection.mirror])) * (1 - lids)
    brow_height = np.interp(np.abs(x), brow_line[:, 0], brow_line[:, 1])
    forehead = face * smoothstep(brow_height.max() + 0.002, brow_height.max() + 0.010, y)
    chin_top = landmarks[57, 1]
    chin = face * smoothstep(chin_top, chin_top - 0.006, y) * smoothstep(0.036, 0.024, np.abs(x)) * (1 - lips)
    cheeks = face * smoothstep(landmarks[41, 1] - 0.004, landmarks[41, 1] - 0.012, y)
    cheeks *= smoothstep(0.018, 0.028, np.abs(x)) * (1 - nose) * (1 - lips) * (1 - chin) * (1 - lids)
    outside = skin * (1.0 - face) * (1.0 - ears)
    # the scalp ends at a plane from below the ear to the hairline of the nape
    above = smoothstep(0.668, 0.690, y - 0.10 * (0.05 - z))
    scalp, neck = outside * above, outside * (1.0 - above)
    masks = {
        "face": face, "lips": lips, "lip_upper": lips * upper, "lip_lower": lips * (1 - upper),
        "lids_left": lids * left, "lids_right": lids * (1 - left), "mouth_interior": mouth, "nose": nose,
        "brows": brows, "cheeks": cheeks, "forehead": forehead, "chin": chin, "ears": ears, "scalp": scalp,
        "neck": neck, "eye_sockets": sockets,
    }  # fmt: skip
    return {name: np.clip(masks[name], 0.0, 1.0).astype(np.float32) for name in REGION_NAMES}


EYE_SIZE_STIFFNESS = 1.0
"""Ridge on the eyeballs' size, relative to the sum of squared radial distances over the lid rim (0: free size)."""


@dataclass(frozen=True)
class PartRules:
    """Data that ``carry_parts`` needs.

    Attributes
    ----------
    points : (V, 3) the mean face.
    parts : part name -> range.
    rims : the two lid rims' vertices, left eye first.
    mouth_weights : (H,) head vertices that teeth and tongue follow.
    lash_triangles : (L, 3) head vertices, lash_weights : (L, 3) barycentrics of each lash vertex's foot.
    """

    points: np.ndarray
    parts: Mapping[str, PartRange]
    rims: tuple[np.ndarray, np.ndarray]
    mouth_weights: np.ndarray
    lash_triangles: np.ndarray
    lash_weights: np.ndarray


def make_rules(
    points: np.ndarray,
    parts: Mapping[str, PartRange],
    rims: tuple[np.ndarray, np.ndarray],
    mouth_weights: np.ndarray,
    lid_triangles: np.ndarray,
) -> PartRules:
    """Make the rules, binding the lashes to the nearest of ``lid_triangles`` (T, 3)."""
    lashes = points[parts["lashes"].vertex_start : parts["lashes"].vertex_stop]
    triangle, weights, _ = closest_points(lashes, points, lid_triangles)
    return PartRules(points, parts, rims, mouth_weights, lid_triangles[triangle], weights)


def _similar_motion(points: np.ndarray, weights: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """(N, 7) least-squares translation, rotation vector and relative growth about the weighted centre for offsets
    (N, P, 3) at ``points`` (P, 3)."""
    arm = points - weights @ points / weights.sum()
    rows = motion_rows(arm)  # (P, 3, 7)
    system = np.einsum("p,pia,pib->ab", weights, rows, rows)
    right = np.einsum("p,pia,npi->na", weights, rows, offsets, optimize=True)
    return np.linalg.solve(system, right.T).T


def motion_rows(arm: np.ndarray) -> np.ndarray:
    """(P, 3, 7) displacement of points at ``arm`` (P, 3) per unit of translation, rotation and growth."""
    rows = np.zeros((len(arm), 3, 7))
    rows[:, [0, 1, 2], [0, 1, 2]] = 1.0
    x, y, z = arm.T
    rows[:, 1, 3], rows[:, 2, 3] = -z, y
    rows[:, 0, 4], rows[:, 2, 4] = z, -x
    rows[:, 0, 5], rows[:, 1, 5] = -y, x
    rows[:, :, 6] = arm
    return rows


def _eye_motion(rules: PartRules, eye: int, offsets: np.ndarray) -> np.ndarray:
    """(N, P, 3) offsets of an eyeball that follows the lid rim: translation and a little growth."""
    part = rules.parts[("eye_left", "eye_right")[eye]]
    ball = rules.points[part.vertex_start : part.vertex_stop]
    centre, rim = 0.5 * (ball.min(0) + ball.max(0)), rules.points[rules.rims[eye]]
    radius = np.linalg.norm(ball - centre, axis=1).mean()
    moved = offsets[:, rules.rims[eye]]  # (N, R, 3)
    outwards = (rim - centre) / np.linalg.norm(rim - centre, axis=1, keepdims=True)
    rows = np.concatenate([outwards, np.full((len(rim), 1), radius)], axis=1)  # radial motion by tx ty tz growth
    radial = np.einsum("ri,nri->nr", outwards, moved)
    # pull the translation towards the rim's mean motion: radial distances hardly constrain it sideways
    sideways = np.zeros((3, 4))
    sideways[:, :3] = np.eye(3) * 0.3 * np.sqrt(len(rim))
    ridge = np.array([[0.0, 0.0, 0.0, np.sqrt(EYE_SIZE_STIFFNESS) * radius]])
    system = np.concatenate([rows, sideways, ridge])
    right = np.concatenate([radial, moved.mean(1) * 0.3 * np.sqrt(len(rim)), np.zeros((len(offsets), 1))], axis=1)
    solution = np.linalg.lstsq(system, right.T, rcond=None)[0].T  # (N, 4)
    return solution[:, None, :3] + solution[:, None, 3:] * (ball - centre)


def carry_parts(rules: PartRules, head_offsets: np.ndarray) -> np.ndarray:
    """(N, V, 3) offsets of all parts from the head's (N, H, 3)."""
    offsets = np.zeros((len(head_offsets), len(rules.points), 3))
    count = head_offsets.shape[1]
    offsets[:, :count] = head_offsets
    for eye, name in enumerate(("eye_left", "eye_right")):
        offsets[:, rules.parts[name].vertex_start : rules.parts[name].vertex_stop] = _eye_motion(
            rules, eye, head_offsets
        )
    near = np.flatnonzero(rules.mouth_weights > 0)
    weights = rules.mouth_weights[near]
    centre = weights @ rules.points[near] / weights.sum()
    motion = _similar_motion(rules.points[near], weights, head_offsets[:, near])
    for name in ("teeth_upper", "teeth_lower", "tongue"):
        span = slice(rules.parts[name].vertex_start, rules.parts[name].vertex_stop)
        offsets[:, span] = np.einsum("pia,na->npi", motion_rows(rules.points[span] - centre), motion, optimize=True)
    lashes = rules.parts["lashes"]
    feet = head_offsets[:, rules.lash_triangles]  # (N, L, 3 corners, 3)
    offsets[:, lashes.vertex_start : lashes.vertex_stop] = (feet * rules.lash_weights[:, :, None]).sum(2)
    return offsets


THICKNESS = 0.006
"""Distance in metres between the mouth's inside and the skin, away from the lips' edge."""

EDGE_ROWS = 5
"""Quads from the seam behind the lips over which the thickness and the skin's influence grow."""

LIP_ROWS = 4
"""Rows of the lips' skin from the seam that do not push the pocket."""

FLESH_RADIUS = 0.010
"""Radius in metres of the skin around a point of the mouth's inside that moves it."""


def _hops(quads: np.ndarray, sources: np.ndarray, count: int) -> np.ndarray:
    """(V,) number of edges to the nearest of ``sources``."""
    sides = np.stack([quads, np.roll(quads, -1, axis=1)], axis=-1).reshape(-1, 2)
    graph = sp.csr_matrix((np.ones(len(sides)), (sides[:, 0], sides[:, 1])), shape=(count, count))
    return dijkstra(graph, directed=False, indices=sources, unweighted=True, min_only=True)


def _away_from_seam(quads: np.ndarray, inside: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Vertices used by ``inside`` quads only, and a weight for each: 0 at the seam, 1 from ``EDGE_ROWS`` on."""
    outer = np.unique(quads[~inside])
    pocket = np.setdiff1d(np.unique(quads[inside]), outer)
    return pocket, smoothstep(0.0, EDGE_ROWS, _hops(quads, outer, count)[pocket])


def keep_pocket_behind_skin(points: np.ndarray, quads: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """``points`` (H, 3) with the pocket of the quads ``inside`` (F,) bool at least ``THICKNESS`` behind the skin."""
    points = points.copy()
    pocket, away = _away_from_seam(quads, inside, len(points))
    # without the lips' edges: one lip's pocket would be pushed behind the other lip's skin
    outer = quads[~inside]
    outer = outer[(_hops(quads, np.unique(quads[inside]), len(points))[outer] >= LIP_ROWS).all(1)]
    skin = np.concatenate([outer[:, [0, 1, 2]], outer[:, [0, 2, 3]]])
    normals = vertex_normals(points, skin)
    neighbours = _neighbour_means(quads[inside], len(points))[pocket][:, pocket]
    for _ in range(40):
        triangle, weights, _ = closest_points(points[pocket], points, skin)
        corners = skin[triangle]
        normal = (normals[corners] * weights[..., None]).sum(1)
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
        height = ((points[pocket] - (points[corners] * weights[..., None]).sum(1)) * normal).sum(1)
        push = np.maximum(height + THICKNESS * away, 0.0)
        step = -0.5 * push[:, None] * normal
        for _ in range(3):  # spread the push to neighbours
            step = np.where(push[:, None] > 0, step, 0.7 * (neighbours @ step))
        points[pocket] += step
    return points


def _neighbour_means(quads: np.ndarray, count: int) -> sp.csr_matrix:
    sides = np.stack([quads, np.roll(quads, -1, axis=1)], axis=-1).reshape(-1, 2)
    graph = sp.csr_matrix((np.ones(len(sides)), (sides[:, 0], sides[:, 1])), shape=(count, count))
    graph = ((graph + graph.T) > 0).astype(float)
    return sp.diags(1.0 / np.maximum(np.asarray(graph.sum(1)).ravel(), 1.0)) @ graph


def flesh_matrix(points: np.ndarray, quads: np.ndarray, inside: np.ndarray) -> sp.csr_matrix:
    """(H, H) matrix for identity offsets that moves the pocket with the skin around it.

    Rows sum to 1. A pocket vertex gets a mean of the skin around it, with a weight that grows away from the seam; all
    other rows are unit rows."""
    count = len(points)
    pocket, away = _away_from_seam(quads, inside, count)
    skin = np.unique(quads[~inside])
    triangles = np.concatenate([quads[~inside][:, [0, 1, 2]], quads[~inside][:, [0, 2, 3]]])
    areas = vertex_areas(points, triangles)[skin]
    square = ((points[pocket][:, None] - points[skin][None]) ** 2).sum(-1)
    nearest = square.min(1, keepdims=True)
    weights = areas * np.exp(-(square - nearest) / FLESH_RADIUS**2)
    weights /= weights.sum(1, keepdims=True)
    weights[weights < 1e-4] = 0.0
    weights *= (away / weights.sum(1))[:, None]
    keep = np.ones(count)
    keep[pocket] = 1.0 - away
    scatter = sp.csr_matrix((np.ones(len(pocket)), (pocket, np.arange(len(pocket)))), shape=(count, len(pocket)))
    gather = sp.csr_matrix((np.ones(len(skin)), (np.arange(len(skin)), skin)), shape=(len(skin), count))
    return (sp.diags(keep) + scatter @ sp.csr_matrix(weights) @ gather).tocsr()


OVERLAP = 0.0006
"""Overlap in metres of the mean face's lips. In the template at least 0.44 mm of it are left, 0.48 mm in the median."""

_CONTACT_ROWS = (-1, 0)
"""Loops along which the lips touch, counted from the outermost contact."""


def keep_lips_closed(offsets: np.ndarray, points: np.ndarray, mouth: MouthLoops) -> np.ndarray:
    """Correct head offsets (N, H, 3) so that the closed lips of ``points`` (H, 3) neither part nor cross.

    At each place along the mouth, both lips share the height and depth that the offsets put between their contact
    lines. The correction is complete inside the mouth and fades out on the lips' skin. It is linear in the offsets.
    """
    offsets = offsets.copy()
    across = abscissas_across(points, mouth)
    for axis in (1, 2):
        rows = [lips_apart(offsets[..., axis], points, mouth, row, across) for row in _CONTACT_ROWS]
        share_between_lips(offsets, np.mean(rows, axis=0), axis, points, mouth, across)
    return offsets
