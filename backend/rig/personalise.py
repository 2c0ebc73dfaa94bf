"""The 52 ARKit keys of one face: the template's keys transferred to its neutral shape, with contacts made exact.

Deformation transfer after Sumner and Popović (2004) in the Poisson form of Botsch, Sumner, Pauly and Gross (2006): the
target's edges deform like the source's triangles,

    min_d  sum_t sum_(i,j) w_tij | (d_i - d_j) - (S_t - I)(x_i - x_j) |^2  +  lambda sum_i a_i | d_i - s_i |^2 ,

with S_t the source triangle's deformation gradient (the third axis of its frame is the normal, scaled as in eq. 2 of
the 2004 paper), x the target's neutral, d the offsets to find and s the source's offsets. All keys share one sparse
factorisation. Then lids shut on this face's eyeballs, lips meet, lashes follow the lids, the pocket behind the lips
stays inside, and the tongue comes out over this face's own lower lip.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.sparse as sparse
from scipy.interpolate import PchipInterpolator
from scipy.ndimage import maximum_filter1d
from scipy.sparse.linalg import splu

from backend.geometry.template import Template
from backend.geometry.vectors import arc_length, area_vectors, smoothstep
from backend.rig import measure
from backend.rig.mouth import move_jaw_parts, rotate_eyes, similarity_scale
from protocol.names import ARKIT_INDEX, ARKIT_NAMES, LIDS

_EDGES = ((0, 1), (1, 2), (2, 0))
_REGULARISATION = 1e-3
"""lambda: regularisation towards the source's own offsets, relative to a vertex's edge weights (fixes translation)."""
_REST_REGULARISATION = 1e3
"""The same for vertices that no key moves."""
_BLEND_METRES = 5e-4
"""Metres of source motion below which the source's offset is blended in, so that vertices at rest stay at rest."""
_LEAST_COTANGENT, _MOST_COTANGENT = 0.05, 10.0


def triangles_of(quads: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    """Two triangles (T, 3) per quad (F, 4), without degenerate ones."""
    both = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    return both[np.linalg.norm(area_vectors(vertices.astype(np.float64), both), axis=1) > 1e-10]


def triangle_frames(corners: np.ndarray) -> np.ndarray:
    """Frames (..., 3, 3) of triangles (..., 3, 3): columns are two edges and n / sqrt|n| (eq. 2 of the paper)."""
    first = corners[..., 1, :] - corners[..., 0, :]
    second = corners[..., 2, :] - corners[..., 0, :]
    normal = np.cross(first, second)
    length = np.linalg.norm(normal, axis=-1, keepdims=True)
    return np.stack([first, second, normal / np.sqrt(np.maximum(length, 1e-14))], axis=-1)


@dataclass(frozen=True)
class SourceDeformations:
    """Deformation gradients of many keys on one source mesh.

    Attributes
    ----------
    vertex_count : V.
    triangles : (T, 3).
    key, triangle : (A,) which key and triangle each gradient belongs to; triangles at rest are left out.
    gradients : (A, 3, 3) S - I.
    offsets : (K, V, 3) the source's own offsets.
    """

    vertex_count: int
    triangles: np.ndarray
    key: np.ndarray
    triangle: np.ndarray
    gradients: np.ndarray
    offsets: np.ndarray


def source_deformations(vertices: np.ndarray, quads: np.ndarray, offsets: np.ndarray) -> SourceDeformations:
    """Prepare the keys ``offsets`` (K, V, 3) of a source mesh ``vertices`` (V, 3), ``quads`` (F, 4) for transfer."""
    triangles = triangles_of(quads, vertices)
    neutral = np.linalg.inv(triangle_frames(vertices[triangles].astype(np.float64)))  # (T, 3, 3)
    keys, points, gradients = [], [], []
    for k, offset in enumerate(offsets):
        moving = np.flatnonzero(np.abs(offset[triangles]).max((1, 2)) > 0)
        corners = (vertices[triangles[moving]].astype(np.float64)) + offset[triangles[moving]]
        gradients.append(triangle_frames(corners) @ neutral[moving] - np.eye(3))
        keys.append(np.full(len(moving), k))
        points.append(moving)
    return SourceDeformations(
        len(vertices), triangles, np.concatenate(keys), np.concatenate(points),
        np.concatenate(gradients).astype(np.float32), np.asarray(offsets, dtype=np.float32),
    )  # fmt: skip


def transfer(source: SourceDeformations, target: np.ndarray) -> np.ndarray:
    """Transfer the source's keys to the mesh ``target`` (V, 3): offsets (K, V, 3) float32.

    Transfer onto the source itself returns the source's offsets.
    """
    count, keys = source.vertex_count, len(source.offsets)
    corners = target[source.triangles].astype(np.float64)  # (T, 3, 3)
    cotangents = _cotangents(corners)  # (T, 3) of the edges 01, 12, 20
    tails = source.triangles[:, [a for a, _ in _EDGES]].ravel()
    heads = source.triangles[:, [b for _, b in _EDGES]].ravel()
    weights = cotangents.ravel()
    laplacian = sparse.coo_matrix(
        (
            np.concatenate([weights, weights, -weights, -weights]),
            (np.concatenate([tails, heads, tails, heads]), np.concatenate([tails, heads, heads, tails])),
        ),
        (count, count),
    ).tocsc()
    still = np.abs(source.offsets).max((0, 2)) == 0
    pull = np.where(still, _REST_REGULARISATION, _REGULARISATION) * np.maximum(laplacian.diagonal(), 1e-6)
    solver = splu(
        laplacian + sparse.diags(pull, format="csc"), permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True}
    )

    spans = np.stack([corners[:, a] - corners[:, b] for a, b in _EDGES], axis=1) * cotangents[:, :, None]  # (T, 3, 3)
    wanted = np.einsum("aij,aej->aei", source.gradients, spans[source.triangle].astype(np.float32))  # (A, 3 edges, 3)
    right = (pull[:, None, None] * source.offsets.transpose(1, 0, 2)).reshape(count, keys * 3)  # (V, 3K)
    bounds = np.searchsorted(source.key, np.arange(keys + 1))
    for k in range(keys):
        rows = slice(bounds[k], bounds[k + 1])
        triangles = source.triangles[source.triangle[rows]]
        flow = wanted[rows].astype(np.float64)
        for axis in range(3):
            for e, (a, b) in enumerate(_EDGES):
                right[:, 3 * k + axis] += np.bincount(triangles[:, a], flow[:, e, axis], count)
                right[:, 3 * k + axis] -= np.bincount(triangles[:, b], flow[:, e, axis], count)
    solved = solver.solve(right).reshape(count, keys, 3).transpose(1, 0, 2)
    share = smoothstep(0.0, _BLEND_METRES, np.linalg.norm(source.offsets, axis=2, keepdims=True))
    return (share * solved + (1.0 - share) * source.offsets).astype(np.float32)


def _cotangents(corners: np.ndarray) -> np.ndarray:
    """Half cotangents (T, 3) of the angles opposite the edges 01, 12 and 20, bounded against slivers."""
    values = []
    for a, b in _EDGES:
        opposite = corners[:, 3 - a - b]
        u, v = corners[:, a] - opposite, corners[:, b] - opposite
        values.append((u * v).sum(1) / np.maximum(np.linalg.norm(np.cross(u, v), axis=1), 1e-12))
    return 0.5 * np.clip(np.stack(values, axis=1), _LEAST_COTANGENT, _MOST_COTANGENT)


LID_OPENING_MM = (-0.30, -0.05)
"""Allowed signed opening of closed lids, minimum and maximum (negative: they overlap)."""
LID_CLEARANCE_MM = 0.10
"""Least distance of the lids' outer skin from the eyeball on its straight path from open to closed."""
LIP_OPENING_MM = (-1.2, -0.1)
"""Allowed signed opening of closed lips, minimum and maximum."""
_ROUNDS = 4


def close_lids(template: Template, neutral: np.ndarray, blink: np.ndarray, eye: int) -> np.ndarray:
    """Correct a blink's offsets (V, 3) so that eye 0 (left) or 1 (right) of the face ``neutral`` (V, 3) shuts.

    The upper lid is turned about the eyeball's centre until its edge meets the lower lid's (``LID_OPENING_MM``). Then
    the outer skin of both lids is lifted where its path would cross the eyeball.
    """
    loops = measure.face_loops(template).eyes[eye]
    posed = neutral.astype(np.float64) + blink
    weights = _lid_weights(loops)
    for _ in range(_ROUNDS):
        centre, radius = measure.eye_sphere(template, neutral, eye)
        azimuths, openings = measure.lid_openings(template, posed, eye)
        excess = (openings - np.clip(openings, *LID_OPENING_MM)) * 1e-3 / radius  # radians to turn down
        excess = _dilated(excess)
        grid = loops.rows[:, loops.upper]  # (R, 13)
        azimuth, elevation, distance = measure.eye_angles(posed[grid], centre)
        order = np.argsort(azimuths)
        turn = weights[:, None] * np.interp(azimuth, azimuths[order], excess[order])
        turn *= _corner_taper(azimuth, azimuths)
        posed[grid] = measure.from_eye_angles(azimuth, elevation - turn, distance, centre)
    posed = lift_from_eyeball(template, neutral, posed, eye)
    return (posed - neutral).astype(np.float32)


def lift_from_eyeball(template: Template, neutral: np.ndarray, posed: np.ndarray, eye: int) -> np.ndarray:
    """Push the lids' outer skin radially out until the straight path from ``neutral`` to ``posed`` clears the eyeball.

    A vertex that is closer to the eyeball in ``neutral`` than ``LID_CLEARANCE_MM`` may stay as close as it is.
    """
    loops = measure.face_loops(template).eyes[eye]
    rows = loops.rows[loops.margin + 1 :]
    centre, radius = measure.eye_sphere(template, neutral, eye)
    start = neutral[rows].astype(np.float64) - centre
    end = posed[rows] - centre
    least = np.minimum(radius + LID_CLEARANCE_MM * 1e-3, np.linalg.norm(start, axis=-1))
    times = np.linspace(0.0, 1.0, 17)[:, None, None, None]
    way = start + times * (end - start)
    fine = np.linalg.norm(way, axis=-1).min(0) >= least - 1e-7
    if fine.all():
        return posed
    low, high = np.ones(least.shape), np.full(least.shape, 1.5)
    for _ in range(24):
        scale = 0.5 * (low + high)
        way = start + times * (end * scale[..., None] - start)
        clear = np.linalg.norm(way, axis=-1).min(0) >= least - 1e-7
        high = np.where(clear, scale, high)
        low = np.where(clear, low, scale)
    lifted = posed.copy()
    lifted[rows] = centre + end * np.where(fine, 1.0, high)[..., None]
    return lifted


def lift_lids(template: Template, neutral: np.ndarray, keys: np.ndarray) -> None:
    """``lift_from_eyeball`` for each of ``keys`` (K, V, 3) that moves lids, in place."""
    for eye, loops in enumerate(measure.face_loops(template).eyes):
        moving = np.flatnonzero(np.any(keys[:, loops.rows.ravel()] != 0.0, axis=(1, 2)))
        for index in moving:
            posed = neutral.astype(np.float64) + keys[index]
            lifted = lift_from_eyeball(template, neutral, posed, eye)
            if lifted is not posed:
                keys[index] += lifted - posed


def meet_lips(template: Template, neutral: np.ndarray, jaw_open: np.ndarray, mouth_close: np.ndarray) -> np.ndarray:
    """Correct ``mouthClose``'s offsets (V, 3) so that the lips meet when it and ``jawOpen`` (V, 3) are both 1.

    Each lip moves half of the remaining opening, up or down; lips that overlap too far are parted.
    """
    loops = measure.face_loops(template).mouth
    posed = neutral.astype(np.float64) + jaw_open + mouth_close
    weights = _lip_weights(loops)
    for _ in range(_ROUNDS):
        abscissas = measure.lip_abscissas(loops, posed)
        openings = measure.lip_openings(template, posed)
        excess = _dilated((openings - np.clip(openings, *LIP_OPENING_MM)) * 1e-3)
        for columns, sign in ((loops.upper, -0.5), (loops.lower, 0.5)):
            grid = loops.rows[:, columns]
            shift = weights[:, None] * np.interp(posed[grid][..., 0], abscissas, excess)
            posed[grid, 1] += sign * shift
    return (posed - neutral - jaw_open).astype(np.float32)


def _dilated(excess: np.ndarray) -> np.ndarray:
    """(N,) largest positive excess within two places, so that a gap between two vertices corrects both."""
    most = maximum_filter1d(excess, 5, mode="nearest")
    return np.where(most > 0, most, excess)


def _lid_weights(loops: measure.EyeLoops) -> np.ndarray:
    rows = np.arange(len(loops.rows)) - loops.margin
    return np.where(rows < -1, 0.5, np.clip(1.0 - (rows - 2) / 5.0, 0.0, 1.0))


def _lip_weights(loops: measure.MouthLoops) -> np.ndarray:
    rows = np.arange(len(loops.rows)) - loops.contact
    outwards = np.clip(1.0 - (rows - 3) / 4.0, 0.0, 1.0)
    inwards = np.clip(1.0 + (rows + 2) / 3.0, 0.0, 1.0)
    return np.minimum(outwards, inwards)


def _corner_taper(azimuth: np.ndarray, azimuths: np.ndarray) -> np.ndarray:
    ends = np.sort(azimuths[[0, -1]])
    width = 0.08 * (ends[1] - ends[0])
    inside = np.minimum(azimuth - ends[0], ends[1] - azimuth) / width
    return np.clip(inside + 1.0, 0.0, 1.0)


_LEAST_DEPTH = 0.0008
"""Least depth in metres below the skin; half the neutral depth where that is less."""
_NEAR_METRES = 0.006
"""Metres from a skin vertex beyond which its tangent plane is ignored."""
_POCKET_ROUNDS = 6
OPEN_MOUTH_KEYS = ("jawOpen", "mouthClose", "tongueOut")
"""Keys that unfold the pocket, so that its vertices no longer lie behind the skin that was in front of them."""


def keep_pocket_inside(template: Template, neutral: np.ndarray, offsets: np.ndarray, allowed: np.ndarray) -> None:
    """Correct ``offsets`` (V, 3) in place: push back pocket vertices that come too near the skin in front of them.

    ``neutral`` is (V, 3); a vertex stays ``_LEAST_DEPTH`` behind each of its skin vertices' tangent planes, or half its
    neutral depth where that is less, or ``allowed`` (P, 4) where that is less still.
    """
    pocket, skin = template.sculpture.pocket, template.sculpture.pocket_skin
    if not np.any(offsets[pocket]) and not np.any(offsets[skin]):
        return
    rest = pocket_depths(template, neutral)[0]
    least = np.where(rest > 0, np.minimum(0.5 * rest, _LEAST_DEPTH), rest - 1e-6)
    least = np.minimum(least, allowed - 1e-6)
    for _ in range(_POCKET_ROUNDS):
        mesh = neutral + offsets
        depth, normals = pocket_depths(template, mesh)
        apart = np.linalg.norm(mesh[skin] - mesh[pocket][:, None], axis=2)
        lack = np.where(apart < _NEAR_METRES, np.clip(least - depth, 0.0, None), 0.0)  # (P, 4)
        worst = lack.argmax(1)
        if not lack.any():
            return
        rows = np.arange(len(worst))
        offsets[pocket] -= lack[rows, worst, None] * normals[rows, worst]


def pocket_depths(template: Template, mesh: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Depths (P, 4) of the pocket below the tangent planes of the skin in front of it, and their normals (P, 4, 3)."""
    head = template.head
    quads = template.quads[head.face_start : head.face_stop]
    normals = np.zeros((head.vertex_stop, 3))
    corners = mesh[quads]
    face = np.cross(corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1])
    for corner in range(4):
        for axis in range(3):
            normals[:, axis] += np.bincount(quads[:, corner], face[:, axis], head.vertex_stop)
    skin = template.sculpture.pocket_skin
    normals = normals[skin]
    normals /= np.maximum(np.linalg.norm(normals, axis=2, keepdims=True), 1e-15)
    return ((mesh[skin] - mesh[template.sculpture.pocket][:, None]) * normals).sum(2), normals


def carry_lashes(template: Template, neutral: np.ndarray, keys: np.ndarray) -> None:
    """Write the lashes' offsets into ``keys`` (K, V, 3).

    Azimuth, elevation and radius about the face's eyeball change as at the lid's edge beside the lash. ``keys`` must
    already hold the head's offsets.
    """
    first, sculpture = template.parts["lashes"].vertex_start, template.sculpture
    is_right = template.vertices[sculpture.lash_edges[:, 0], 0] < 0.0
    for eye in (0, 1):
        members = np.flatnonzero(is_right == eye)
        rows = first + members
        centre, _ = measure.eye_sphere(template, neutral, eye)
        edges, share = sculpture.lash_edges[members], sculpture.lash_shares[members]  # (L, 2), (L,)
        rest = np.stack(measure.eye_angles(neutral[edges].astype(np.float64), centre))  # (3, L, 2)
        angles = np.stack(measure.eye_angles(neutral[rows].astype(np.float64), centre))  # (3, L)
        for index in range(len(keys)):
            moved = keys[index][edges]
            if not np.any(moved):
                keys[index, rows] = 0.0
                continue
            change = np.stack(measure.eye_angles(neutral[edges] + moved.astype(np.float64), centre)) - rest
            change = (1.0 - share) * change[..., 0] + share * change[..., 1]  # (3, L)
            keys[index, rows] = measure.from_eye_angles(*(angles + change), centre) - neutral[rows]


MOUTH_OPENING_WEIGHTS = {"jawOpen": 0.25, "mouthLowerDownLeft": 0.25, "mouthLowerDownRight": 0.25}
"""Weights of the keys inside ``tongueOut`` that open the mouth: the biting edges of the front teeth overlap by 5 mm,
and the tongue needs another 5 mm between them."""
TIP_PROTRUSION_METRES = 0.0195
"""Metres from the lower lip to the tip; this and the other lengths scale with the mouth's parts."""
TIP_DROP_METRES = 0.0095
"""Metres by which the middle of the tip hangs below the lip's upper edge."""
TONGUE_HEIGHT_METRES = 0.0055
"""Height in metres of the tongue's middle line above the lip's upper edge."""
CURL = 0.011
"""Distance in metres in front of the lip at which the tongue begins to bend down."""
_BEHIND_LIP = 0.014
"""Distance in metres behind the lip at which it reaches that height, because the lower front teeth are beneath it."""
GROOVE, GROOVE_WIDTH = 0.0014, 0.0035
"""Depth and half width in metres of the groove along its middle."""
_WIDTH_FACTORS = ((0.0, 0.3, 0.75, 0.93, 0.98, 1.0), (1.0, 1.05, 1.33, 1.44, 1.30, 1.05))
"""Factor on its width at places along it (0 root, 1 tip): broad, with a round end."""
_THICKNESS_FACTOR = 0.95
_TIP_CURVATURE = 12.0
"""Curvature of the end, per metre: it draws back by this times the square of the distance from the middle."""
_STRETCH_EXPONENT = 1.4
"""Exponent of the lengthening along the tongue: the front stretches more than the root."""


def tongue_out_key(template: Template, neutral: np.ndarray, keys: Mapping[str, np.ndarray]) -> np.ndarray:
    """Offsets (V, 3) in metres of ``tongueOut`` for the face ``neutral`` (V, 3).

    ``keys`` (name -> (V, 3) of this face) are those of ``MOUTH_OPENING_WEIGHTS``, teeth included.
    """
    offsets = np.zeros(neutral.shape)
    for name, weight in MOUTH_OPENING_WEIGHTS.items():
        offsets += weight * keys[name]
    rows = measure.part_slice(template.parts["tongue"])
    offsets[rows] = _out_of_the_mouth(template, neutral.astype(np.float64), offsets) - neutral[rows]
    return offsets


def _out_of_the_mouth(template: Template, neutral: np.ndarray, make_way: np.ndarray) -> np.ndarray:
    """(T, 3) vertices of the tongue outside the mouth."""
    size = similarity_scale(template, neutral)
    top, front = measure.lower_lip(template, neutral + make_way)
    rest = neutral[measure.part_slice(template.parts["tongue"])]
    root, tip = rest[:, 2].min(), rest[:, 2].max()
    along = (rest[:, 2] - root) / (tip - root)
    bent = np.polyfit(along, rest[:, 1], 3)
    middle = np.polyval(bent, along)

    knots = np.array(
        [
            [root, np.polyval(bent, 0.0)],
            [root + 0.3 * (tip - root), np.polyval(bent, 0.3)],
            [top[2] - size * _BEHIND_LIP, top[1] + size * TONGUE_HEIGHT_METRES],
            [top[2] + size * 0.002, top[1] + size * TONGUE_HEIGHT_METRES],
            [front + size * CURL, top[1] + size * 0.75 * TONGUE_HEIGHT_METRES],
            [front + size * TIP_PROTRUSION_METRES, top[1] - size * TIP_DROP_METRES],
        ]
    )
    steps = arc_length(knots)
    line = PchipInterpolator(steps, knots)
    length = tip - root
    grown = smoothstep(0.0, 0.6, along)
    across = (rest[:, 0] - rest[:, 0].mean()) * PchipInterpolator(*_WIDTH_FACTORS)(along)
    distances = length * along + (steps[-1] - length) * along**_STRETCH_EXPONENT
    distances = distances - _TIP_CURVATURE / size * across**2 * smoothstep(0.6, 1.0, along)
    ahead = line.derivative()(distances)
    ahead /= np.linalg.norm(ahead, axis=1, keepdims=True)
    above = (rest[:, 1] - middle) * (1.0 + (_THICKNESS_FACTOR - 1.0) * grown)
    upper = smoothstep(0.0, size * 0.003, above)
    groove = upper * np.exp(-((across / (size * GROOVE_WIDTH)) ** 2))
    above = above - size * GROOVE * grown * groove
    centre = line(distances)  # (T, 2) z, y
    y, z = centre[:, 1] + above * ahead[:, 0], centre[:, 0] - above * ahead[:, 1]
    return np.stack([rest[:, 0].mean() + across, y, z], axis=1)


def personalise_keys(template: Template, neutral: np.ndarray) -> np.ndarray:
    """The 52 ARKit keys of the face ``neutral``.

    Parameters
    ----------
    template : with the mean face's keys in ``template.expressions``.
    neutral : (V, 3) float32 neutral vertices of all parts, template order, head frame, metres.

    Returns
    -------
    (52, V, 3) float32 offsets at weight 1, metres, in the order of ``ARKIT_NAMES``. Skin by deformation transfer;
    then lids shut on this face's eyeballs, lips meet at ``jawOpen`` + ``mouthClose``, eyeballs turn about their
    own centres, lower teeth and tongue move rigidly with this face's jaw, lashes with the lids. Vertices that the
    template's key does not move (the other side of the face) stay at rest. ``tongueOut`` is computed anew
    (``tongue_out_key``).

    Raises ``ValueError`` when ``neutral`` does not have the template's vertices or is not finite.
    """
    if neutral.shape != template.vertices.shape:
        raise ValueError(f"neutral has shape {neutral.shape}, the template {template.vertices.shape}")
    if not np.isfinite(neutral).all():
        raise ValueError("neutral has vertices that are not finite")
    source, depths_of_keys = _prepare(template)
    head = template.head.vertex_stop
    keys = np.zeros_like(template.expressions)
    keys[:, :head] = transfer(source, neutral[:head])
    for eye, blink in enumerate(LIDS):
        keys[blink] = close_lids(template, neutral, keys[blink], eye)
    lift_lids(template, neutral, keys)
    for name, offsets, depths in zip(ARKIT_NAMES, keys, depths_of_keys, strict=True):
        if name not in OPEN_MOUTH_KEYS:
            keep_pocket_inside(template, neutral, offsets, depths)
    jaw_open, mouth_close = keys[ARKIT_INDEX["jawOpen"]], keys[ARKIT_INDEX["mouthClose"]]
    keys[ARKIT_INDEX["mouthClose"]] = meet_lips(template, neutral, jaw_open, mouth_close)
    rotate_eyes(template, neutral, keys)
    move_jaw_parts(template, neutral, keys)
    keys[ARKIT_INDEX["tongueOut"]] = tongue_out_key(template, neutral, dict(zip(ARKIT_NAMES, keys, strict=True)))
    carry_lashes(template, neutral, keys)
    return keys


@lru_cache(maxsize=2)
def _prepare(template: Template) -> tuple[SourceDeformations, np.ndarray]:
    """The template's keys as deformations of its head, and the pocket's depths (52, P, 4) in each of them."""
    head = template.head
    quads = template.quads[head.face_start : head.face_stop]
    vertices, offsets = template.vertices[: head.vertex_stop], template.expressions[:, : head.vertex_stop]
    depths = [pocket_depths(template, template.vertices + posed)[0] for posed in template.expressions]
    return source_deformations(vertices, quads, offsets), np.stack(depths)
