"""Shape keys of one face for a mesh without any, regardless of topology; numpy only.

Every target vertex takes the motion of its corresponding source point, rotated and scaled by the local deformation of
the registration: expression cloning (Noh and Neumann 2001). Vertices without a confident correspondence follow their
neighbours; pieces other than skin follow as a whole; lids travel as far as the visible area of the target's own
eyeballs needs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..errors import AddonError
from ..shared.similarity import Similarity, fit_similarity
from . import registration

COLUMNS = 48
"""Resolution of the visibility grid in front of an eyeball, columns and rows."""
EXTENT = 1.2
"""Half the grid's width, in radii."""
STEP = 2 * EXTENT / COLUMNS
COVERING_DEPTH_SHARE = 0.01
"""Skin up to this share of the radius inside the eyeball still covers it, because meshes may intersect slightly."""
ROUNDS = 8
MOST_AT_ONCE = 1.5
"""Limit for the lengthening of the travel per round, as a factor."""
FARTHEST = 3.0
"""Limit for the total travel, as a multiple of the source's."""
NEAR, FAR = 1.7, 2.6
"""Radii from the centre: full effect on lids up to the first, none beyond the second."""
FILM = 1.07
"""Skin vertices closer to the eyeball than this multiple of its extent are a tear film or shade, and do not occlude."""
SKIN = 1.02
"""Minimum distance of lids from the centre, as a multiple of the eyeball's extent."""
OCCLUDING_CONFIDENCE = 0.02
"""Skin with a confidence above this occludes an eyeball."""
FARTHEST_POINT_COSINE = 0.99
"""Cosine of the angle within which the eyeball's farthest point is searched."""


@dataclass(frozen=True)
class Eyeball:
    """Centre (3,), radius, and points (N, 3) of everything that forms the eyeball, including the cornea."""

    middle: np.ndarray
    radius: float
    points: np.ndarray

    def reach(self, points: np.ndarray) -> np.ndarray:
        """(M,) extent of the eyeball from its centre in the direction of points (M, 3)."""
        arms = self.points - self.middle
        radii = np.linalg.norm(arms, axis=1)
        alike = registration.unit(points - self.middle) @ registration.unit(arms).T
        alike[np.arange(len(points)), alike.argmax(axis=1)] = 1.0
        return np.where(alike > FARTHEST_POINT_COSINE, radii, 0.0).max(axis=1)


def shut_lids(motion: np.ndarray, skin: registration.Surface, eyes: Sequence[Eyeball], sure: np.ndarray):
    """Lengthen one blink ``motion`` (V, 3) of the skin, in place, until its eye is closed; yields between slices.

    The eye is the one closest to the motion. sure : (V,) 0-1 confidence of a vertex's correspondence on the source's
    skin; lashes welded to the lids have none and do not occlude.
    """
    weight = np.linalg.norm(motion, axis=1) ** 4  # of rims more than of sockets, which some artists move along
    if not eyes or weight.sum() <= 0:
        return
    centre = weight @ skin.vertices / weight.sum()
    eye = min(eyes, key=lambda one: float(np.linalg.norm(one.middle - centre)))
    if np.linalg.norm(eye.middle - centre) > 3 * eye.radius:
        return
    near = np.linalg.norm(skin.vertices - eye.middle, axis=1) < FAR * eye.radius
    lids, index = skin.part(near)
    axes = _axes(motion.astype(float), weight, centre - eye.middle)
    local = (lids.vertices - eye.middle) @ axes.T / eye.radius
    way = motion[index].astype(float) @ axes.T / eye.radius
    film = np.linalg.norm(lids.vertices - eye.middle, axis=1) < FILM * eye.reach(lids.vertices)
    hides = ~film & (sure[index] > OCCLUDING_CONFIDENCE)
    triangles = lids.triangles[hides[lids.triangles].any(axis=1)]
    yield
    front = _front(eye, axes)
    open_top, seen_at_rest = yield from _upper_edge(local, triangles, front)
    if not seen_at_rest.any():
        return
    longest = way.copy()
    for _ in range(ROUNDS):
        top, visible = yield from _upper_edge(local + longest, triangles, front)
        if visible.sum() <= 0.01 * seen_at_rest.sum():
            break
        gap, went = visible.sum(axis=0) * STEP, np.maximum(open_top - top, 0.05)
        factor = _smoothed(np.where(visible.any(axis=0), 1.0 + (gap + 0.5 * STEP) / went, 1.0).clip(1.0, MOST_AT_ONCE))
        share = np.interp(local[:, 0], _lines(), factor, left=1.0, right=1.0) - 1.0
        around = np.clip((FAR - np.linalg.norm(local, axis=1)) / (FAR - NEAR), 0.0, 1.0)
        down = np.clip(-longest[:, 2] / 0.02, 0.0, 1.0)  # only downward motion
        longest = longest * (1.0 + share * around * down)[:, None]
        longest = _limited(longest, FARTHEST * way)
        reach = eye.reach((local + longest) @ axes * eye.radius + eye.middle) / eye.radius
        longest = _around(local, longest, reach)
        yield
    motion[index] = longest @ axes * eye.radius


def _axes(motion: np.ndarray, weight: np.ndarray, lid: np.ndarray) -> np.ndarray:
    """(3, 3) rows right, forward and up of an eye: the lid moves down, and passes the front halfway.

    motion : (V, 3).
    weight : (V,)
    lid : (3,) from the eye's centre to the centre of the motion.
    """
    down = weight @ motion / weight.sum()
    forward = registration.unit(lid + 0.5 * down)
    up = registration.unit((down @ forward) * forward - down)
    return np.stack([np.cross(forward, up), forward, up])


def _lines() -> np.ndarray:
    """Centres of the columns, and of the rows, in radii."""
    return (np.arange(COLUMNS) + 0.5) * STEP - EXTENT


def _front(eye: Eyeball, axes: np.ndarray) -> np.ndarray:
    """(rows, columns) forward extent of the eyeball, in radii; infinite beside it."""
    x, z = np.meshgrid(_lines(), _lines())
    forward = np.sqrt(np.maximum(1.0 - x * x - z * z, 0.02))
    for _ in range(3):
        towards = np.stack([x, forward, z], -1).reshape(-1, 3) @ axes + eye.middle
        reach = eye.reach(towards).reshape(x.shape) / eye.radius
        forward = np.sqrt(np.maximum(reach * reach - x * x - z * z, 0.02))
    return np.where(x * x + z * z < 0.96 * reach * reach, forward, np.inf)


def _upper_edge(points: np.ndarray, triangles: np.ndarray, front: np.ndarray):
    """Visible area of an eyeball from the front, with skin ``points`` (N, 3): right, forward, up in radii.

    Returns (columns,) upper edge of the visible area, 1 if nothing is visible, and (rows, columns) bool.
    """
    lines = _lines()
    depth, z = front - COVERING_DEPTH_SHARE, lines[:, None]
    covered = np.isinf(front)
    corners = points[triangles]
    facing = (corners[:, :, 1].max(axis=1) > 0) & (np.abs(corners[:, :, 0]).min(axis=1) < EXTENT)
    corners = corners[facing & (np.abs(corners[:, :, 2]).min(axis=1) < EXTENT)]
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    area = (b[:, 0] - a[:, 0]) * (c[:, 2] - a[:, 2]) - (b[:, 2] - a[:, 2]) * (c[:, 0] - a[:, 0])
    fine = np.abs(area) > 1e-12
    a, b, c, area = a[fine], b[fine], c[fine], area[fine]
    for row in range(COLUMNS):
        near = (np.minimum(np.minimum(a[:, 2], b[:, 2]), c[:, 2]) <= lines[row]) & (
            np.maximum(np.maximum(a[:, 2], b[:, 2]), c[:, 2]) >= lines[row]
        )
        p, q, r, size = a[near], b[near], c[near], area[near]
        dx, dz = lines[:, None] - p[:, 0], lines[row] - p[:, 2]
        v = (dx * (r[:, 2] - p[:, 2]) - dz * (r[:, 0] - p[:, 0])) / size
        w = ((q[:, 0] - p[:, 0]) * dz - (q[:, 2] - p[:, 2]) * dx) / size
        forward = p[:, 1] + v * (q[:, 1] - p[:, 1]) + w * (r[:, 1] - p[:, 1])
        hit = (v >= -1e-6) & (w >= -1e-6) & (v + w <= 1 + 1e-6) & (forward > depth[row][:, None])
        covered[row] |= hit.any(axis=1)
        if row % 8 == 7:
            yield
    visible = ~covered
    top = np.where(visible, z, -np.inf).max(axis=0)
    return np.where(visible.any(axis=0), top, 1.0), visible


def _smoothed(values: np.ndarray) -> np.ndarray:
    """Maximum over adjacent columns, then a moving average, so that the lid beside a slit moves along."""
    padded = np.pad(values, 1, mode="edge")
    widest = np.max([padded[shift : shift + len(values)] for shift in range(3)], axis=0)
    padded = np.pad(widest, 4, mode="edge")
    return np.mean([padded[shift : shift + len(values)] for shift in range(9)], axis=0)


def _limited(motion: np.ndarray, most: np.ndarray) -> np.ndarray:
    """``motion`` (N, 3), limited to the length of ``most`` (N, 3)."""
    length, limit = np.linalg.norm(motion, axis=1), np.linalg.norm(most, axis=1)
    return motion * np.minimum(1.0, limit / np.maximum(length, 1e-12))[:, None]


def _around(points: np.ndarray, motion: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """Motions (N, 3) of points outside the unit sphere that keep their distance from it, as a rotation about its centre
    would.

    reach : (N,) extent of the eyeball at their end positions.
    """
    rest, ends = np.linalg.norm(points, axis=1), points + motion
    far = np.linalg.norm(ends, axis=1)
    least = np.maximum(np.minimum(rest, 1.2), SKIN * reach)
    moves = np.linalg.norm(motion, axis=1) > 0.02
    push = np.where(moves & (rest > 0.97) & (ends[:, 1] > 0) & (far < least), least / np.maximum(far, 1e-9), 1.0)
    return ends * push[:, None] - points


FILL = 0.2
"""Weight of smoothness between neighbours, relative to a confident correspondence."""
FRAME_ROUNDS = 20
"""Smoothing rounds for the deformation gradients, which are noisy at folds inside the lips."""
TEAR = 0.5
"""The confidence is halved if motions of neighbours' partners differ by this gradient over all keys: one is on the
wrong lip."""
KEYS_PER_SLICE = 4
ROUNDS_PER_SLICE = 5


def bent_frames(source: registration.Surface, bent: np.ndarray):
    """(S, 3, 3) local deformation gradients of the source, whose vertices were registered to ``bent`` (S, 3); yields
    between slices."""
    frames = registration.local_frames(source, bent).reshape(-1, 9)
    mean = registration.EdgeOperator(source.edges, np.ones(len(source.edges)), len(source.vertices))
    for number in range(FRAME_ROUNDS):
        if number % ROUNDS_PER_SLICE == 0:
            yield
        frames = 0.5 * frames + 0.5 * mean.neighbours(frames) / np.maximum(mean.diagonal, 1.0)
    yield
    return frames.reshape(-1, 3, 3)


def _agreement(
    source: registration.Surface,
    target: registration.Surface,
    partner: registration.Correspondence,
    motions: np.ndarray,
    scale: float,
) -> np.ndarray:
    """(V,) 0-1 similarity of the motions of a target vertex's partner and its neighbours' partners."""
    each = motions.transpose(1, 0, 2).reshape(len(source.vertices), -1)
    short = each @ np.random.default_rng(0).normal(size=(each.shape[1], 16)) / 4.0  # distances hold within 25 %
    moves = np.einsum("vk,vkd->vd", partner.bary, short[source.triangles[partner.triangle]])
    smallest = 2e-3 * np.linalg.norm(np.ptp(source.vertices, axis=0))

    def gradients(
        surface: registration.Surface, moves: np.ndarray, scale: float
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        i, j = np.concatenate([surface.edges, surface.edges[:, ::-1]]).T
        length = np.linalg.norm(surface.vertices[i] - surface.vertices[j], axis=1) / scale
        return i, j, np.linalg.norm(moves[i] - moves[j], axis=1) / (length + smallest)

    own = np.zeros(len(source.vertices))  # as steep as the source itself is there, a motion is not torn
    i, _, steep = gradients(source, short, 1.0)
    np.maximum.at(own, i, steep)
    i, j, steep = gradients(target, moves, scale)
    allowed = own[source.triangles[partner.triangle]].max(axis=1)
    gradient = np.maximum(steep - np.maximum(allowed[i], allowed[j]), 0.0) * partner.sure[j]
    count = len(target.vertices)
    gradient = np.bincount(i, gradient, count) / np.maximum(np.bincount(i, partner.sure[j], count), 1e-9)
    return 1.0 / (1.0 + (gradient / (TEAR * np.sqrt(len(motions) / 52.0))) ** 2)


def carry(
    source: registration.Surface,
    frames: np.ndarray,
    target: registration.Surface,
    partner: registration.Correspondence,
    motions: np.ndarray,
):
    """Transfer motions (K, S, 3) of the source, whose surface ``bent_frames`` has turned, to (K, V, 3) float32 of the
    target; yields the fraction done."""
    count = len(target.vertices)
    length = np.linalg.norm(target.vertices[target.edges[:, 0]] - target.vertices[target.edges[:, 1]], axis=1)
    mean = max(float(length.mean()), 1e-12)
    sure = partner.sure.astype(np.float32)[:, None]
    unsure = 1.0 - (sure[target.edges[:, 0]] * sure[target.edges[:, 1]])[:, 0]
    stiffness = np.clip(mean / np.maximum(length, 1e-12), 0.1, 10.0).astype(np.float32) * unsure
    hold = registration.EdgeOperator(target.edges, stiffness, count)
    corners, bary = source.triangles[partner.triangle], partner.bary.astype(np.float32)
    out = np.zeros((len(motions), count, 3), np.float32)
    for first in range(0, len(motions), KEYS_PER_SLICE):
        part = motions[first : first + KEYS_PER_SLICE]
        turned = np.einsum("vab,kvb->vka", frames, part).reshape(len(part[0]), -1).astype(np.float32)
        cloned = sum(bary[:, k, None] * turned[corners[:, k]] for k in range(3))
        yield first / len(motions)

        def system(x: np.ndarray) -> np.ndarray:
            return (sure + 1e-4) * x + FILL * hold(x)

        steps = registration.solve(
            system, sure + 1e-4 + FILL * hold.diagonal, sure * cloned, sure * cloned, steps=40, tolerance=1e-2
        )
        filled = yield from staged(steps, first / len(motions), first / len(motions), 1)
        out[first : first + KEYS_PER_SLICE] = filled.reshape(count, -1, 3).transpose(1, 0, 2)
    return out


STIFF = 0.05
"""A part is stiff (an eyeball, teeth) if its motions differ from rigid ones by less than this share."""
ATTACHED_KEY_SHARE = 0.5
"""A part that more than this share of the keys move is attached to the skin, like lashes."""
SAME_PIECE_IOU = 0.4
"""Threshold for the intersection over union of the bounding boxes of a piece and its stiff part."""
ROUND = 0.13
"""A part is an eyeball if its vertices' radii, in its bounding box, vary by less than this share: those of eyeballs by
up to 0.1, of teeth and lashes by 0.17 to 0.33."""
MARGIN = 0.1
"""A piece may belong to a part if its centre is in the part's bounding box, enlarged by this share of its diagonal."""
SMALL = 0.6
"""A piece smaller than this share of a mouth part moves as one, like a single tooth."""
ROOTS = 0.3
"""Share of the vertices of a lash or brow, nearest to the skin, that are its roots."""
FOLLOW = 0.05
"""Pieces whose roots are farther from the skin than this share of the face's size do not follow it."""


@dataclass(frozen=True)
class PlacedPart:
    """A part of the source other than skin, placed by the registration.

    placed : (S, 3).
    motions : (K, S, 3) at rest.
    turns, shifts : (K, 3, 3), (K, 3) rigid approximation of the motions at rest, about its centre.
    clings : whether it moves with the skin.
    eye : whether it is an eyeball.
    """

    placed: np.ndarray
    motions: np.ndarray
    place: Similarity
    turns: np.ndarray
    shifts: np.ndarray
    stiff: bool
    clings: bool
    eye: bool

    def rigid(self, points: np.ndarray, middle: np.ndarray) -> np.ndarray:
        """(K, N, 3) rigid motions of points (N, 3), rotated about ``middle`` (3,)."""
        turn = self.place.rotation
        turns = turn @ self.turns @ turn.T - np.eye(3)
        return np.einsum("kab,nb->kna", turns, points - middle) + self.place.scale * (self.shifts @ turn.T)[:, None]

    @property
    def middle(self) -> np.ndarray:
        """(3,) centre of the placed part's bounding box."""
        return (self.placed.min(axis=0) + self.placed.max(axis=0)) / 2

    def alike(self, points: np.ndarray) -> float:
        """How much a piece (N, 3) is this part: intersection over union of bounding boxes.

        An eye may be twice as large or half, because the inner sides of lids make its place's size uncertain.
        """
        size = np.linalg.norm(np.ptp(points, axis=0)) / np.linalg.norm(np.ptp(self.placed, axis=0)) if self.eye else 1.0
        size = np.clip(size, 0.5, 2.0)
        return _shared_volume(points, self.middle + size * (self.placed - self.middle))


def place_part(vertices: np.ndarray, motions: np.ndarray, skin: np.ndarray, bent: np.ndarray) -> PlacedPart:
    """Place a part (S, 3) of the source by the motion of the surrounding skin from ``skin`` to ``bent``, both (V,
    3)."""
    away = np.linalg.norm(skin - vertices.mean(axis=0), axis=1)
    around = np.argsort(away)[: max(min(300, len(skin) // 4), 4)]
    placement = fit_similarity(skin[around], bent[around])
    middle = (vertices.min(axis=0) + vertices.max(axis=0)) / 2
    turns, shifts, stiff = np.tile(np.eye(3), (len(motions), 1, 1)), np.zeros((len(motions), 3)), True
    sizes = np.linalg.norm(motions, axis=(1, 2))
    moving = np.flatnonzero(sizes > 1e-3 * sizes.max(initial=0.0))  # files round at 1e-5 or so
    for number in moving:
        rigid = fit_similarity(vertices, vertices + motions[number], scale=1.0)
        turns[number], shifts[number] = rigid.rotation, rigid.apply(middle) - middle
        stiff &= bool(np.linalg.norm(rigid.apply(vertices) - vertices - motions[number]) < STIFF * sizes[number])
    radii = np.linalg.norm((vertices - middle) / np.maximum(np.ptp(vertices, axis=0), 1e-12), axis=1)
    eye = bool(radii.std() < ROUND * radii.mean())  # whether keys turn it or a bone
    clings = len(moving) > ATTACHED_KEY_SHARE * len(motions) and not eye
    return PlacedPart(placement.apply(vertices), motions, placement, turns, shifts, stiff or eye, clings, eye)


def eyeballs(mesh: registration.Surface, pieces: np.ndarray, placed: Sequence[PlacedPart]) -> list[Eyeball]:
    """The target's pieces that match the source's eyeballs."""
    eyes, candidates = [], [mesh.vertices[mesh.pieces == piece] for piece in pieces]
    for part in placed:
        shared = [part.alike(points) for points in candidates] if part.eye else []
        if shared and max(shared) > SAME_PIECE_IOU:
            points = candidates[int(np.argmax(shared))]
            middle = (points.min(axis=0) + points.max(axis=0)) / 2
            radius = float(np.median(np.linalg.norm(points - middle, axis=1)))
            inside = [p for p in candidates if np.linalg.norm(p.mean(axis=0) - middle) < 0.5 * radius]
            eyes.append(Eyeball(middle, radius, np.concatenate(inside)))
    return eyes


def move_pieces(
    out: np.ndarray,
    mesh: registration.Surface,
    pieces: np.ndarray,
    skin_index: np.ndarray,
    placed: Sequence[PlacedPart],
    face_size: float,
):
    """Write the motions of a target's pieces into ``out`` (K, V, 3), which holds its skin's; yields between slices.

    A piece that matches a stiff part moves with it, about its own centre. A piece between several parts, so in the
    mouth, follows the parts nearest to its vertices. Any other piece is attached to the skin by its roots.
    """
    stiff = [part for part in placed if not part.clings]
    for piece in pieces:
        index = np.flatnonzero(mesh.pieces == piece)
        points = mesh.vertices[index]
        same = [part.alike(points) if part.stiff else 0.0 for part in stiff]
        if stiff and max(same) > SAME_PIECE_IOU:
            middle = (points.min(axis=0) + points.max(axis=0)) / 2
            out[:, index] = stiff[int(np.argmax(same))].rigid(points, middle)
            yield
            continue
        around = [part for part in stiff if _holds(part.placed, points.mean(axis=0))]
        if len(around) > 1:
            out[:, index] = yield from _like_parts(points, around)
            if len(index) > 300:
                yield from _smooth(out, mesh, index)
            continue
        to_skin, distance = yield from registration.nearest(points, mesh.vertices[skin_index])
        roots = np.argsort(distance, kind="stable")[: max(int(ROOTS * len(index)), 1)]
        root, _ = yield from registration.nearest(points, points[roots])
        follows = np.clip(2.0 - distance[roots].mean() / (0.5 * FOLLOW * face_size), 0.0, 1.0)
        out[:, index] = out[:, skin_index[to_skin[roots[root]]]] * np.float32(follows)
        yield


def _shared_volume(a: np.ndarray, b: np.ndarray) -> float:
    low, high = np.maximum(a.min(axis=0), b.min(axis=0)), np.minimum(a.max(axis=0), b.max(axis=0))
    shared = float(np.prod(np.clip(high - low, 0.0, None)))
    return shared / max(float(np.prod(np.ptp(a, axis=0)) + np.prod(np.ptp(b, axis=0))) - shared, 1e-30)


def _holds(part: np.ndarray, point: np.ndarray) -> bool:
    margin = MARGIN * np.linalg.norm(np.ptp(part, axis=0))
    return bool(((point > part.min(axis=0) - margin) & (point < part.max(axis=0) + margin)).all())


def _like_parts(points: np.ndarray, parts: Sequence[PlacedPart]):
    """(K, N, 3) motions of the parts nearest to each point."""
    out = np.zeros((len(parts[0].motions), len(points), 3), np.float32)
    partners, away = [], []
    for part in parts:
        index, distance = yield from registration.nearest(points, part.placed)
        partners.append(index)
        away.append(distance)
    owner = np.argmin(away, axis=0)
    main = int(np.argmin(np.mean(away, axis=1)))
    if np.linalg.norm(np.ptp(points, axis=0)) < SMALL * np.linalg.norm(np.ptp(parts[main].placed, axis=0)):
        owner[:] = main  # a single tooth
    for number, (part, index) in enumerate(zip(parts, partners, strict=True)):
        mine = owner == number
        if part.stiff:
            out[:, mine] = part.rigid(points[mine], part.middle)
        else:
            out[:, mine] = part.place.scale * part.motions[:, index[mine]] @ part.place.rotation.T
    return out


def _smooth(out: np.ndarray, mesh: registration.Surface, index: np.ndarray):
    keep = np.zeros(len(mesh.vertices), bool)
    keep[index] = True
    piece, _ = mesh.part(keep)
    mean = registration.EdgeOperator(piece.edges, np.ones(len(piece.edges)), len(index))
    for key in range(len(out)):
        motion = out[key, index]
        if np.abs(motion).max() > 0:
            for _ in range(12):
                motion = 0.5 * motion + 0.5 * mean.neighbours(motion) / np.maximum(mean.diagonal, 1.0)
            out[key, index] = motion
        yield


SKIN_SHARE = 0.35
"""Connected pieces with at least this share of the largest piece's vertices count as skin."""
FACE_SHARE = 0.03
"""The source's face: vertices that some key moves by more than this share of the largest motion."""


@dataclass(frozen=True)
class SourcePart:
    """One mesh of the source in world space: vertices (S, 3), triangles (T, 3), motions (K, S, 3) of its keys."""

    vertices: np.ndarray
    triangles: np.ndarray
    motions: np.ndarray


@dataclass(frozen=True)
class MarkedPoints:
    """Corresponding points (N, 3) marked by the artist on both meshes, in world space."""

    source: np.ndarray
    target: np.ndarray


@dataclass(frozen=True)
class TargetMesh:
    """Objects of one character in world space: vertices (V, 3), triangles (T, 3), and (V,) whose each vertex is: 0 of
    the object that shows the face. axes : (3, 3) rotation of that object."""

    vertices: np.ndarray
    triangles: np.ndarray
    owner: np.ndarray
    axes: np.ndarray


@dataclass(frozen=True)
class _Pair:
    """Source and target, welded and split. number : (V,) vertex of ``mesh`` for each of the target's. face : vertices
    of the source's face. loose : vertices and motions of the source's other pieces."""

    source: registration.Surface
    motions: np.ndarray
    loose: list[tuple[np.ndarray, np.ndarray]]
    face: np.ndarray
    mesh: registration.Surface
    number: np.ndarray
    is_skin: np.ndarray


def _pair(parts: Sequence[SourcePart], target: TargetMesh):
    source, motions, loose = _split_source(parts)
    yield
    mesh, number = registration.welded(np.asarray(target.vertices, float), target.triangles, target.owner)
    yield
    own = np.zeros(len(mesh.vertices), bool)
    own[number[target.owner == 0]] = True
    sizes = np.bincount(mesh.pieces, own, mesh.pieces.max(initial=0) + 1)
    yield
    is_skin = own & (sizes >= SKIN_SHARE * sizes.max())[mesh.pieces]
    moves = np.linalg.norm(motions, axis=2).max(axis=0)
    if not len(moves) or moves.max() <= 0 or is_skin[mesh.triangles].all(axis=1).sum() < 20:
        raise AddonError("There is no face to take keys from, or none to give them to.", "Choose heads.", "no_face")
    if mesh.part(is_skin)[0].points_inwards:
        mesh = registration.Surface(mesh.vertices, mesh.triangles[:, ::-1])
    return _Pair(source, motions, loose, np.flatnonzero(moves > FACE_SHARE * moves.max()), mesh, number, is_skin)


def find_face(parts: Sequence[SourcePart], target: TargetMesh):
    """The ``Similarity`` that puts the source's face on the target's; yields the fraction done. Raises ``AddonError``
    ``no_face``."""
    pair = yield from staged(_pair(parts, target), 0.0, 0.1, 3)
    skin, _ = pair.mesh.part(pair.is_skin)
    return (yield from staged(registration.find_alignment(pair.source, pair.face, skin, target.axes), 0.1, 1.0, 120))


def transfer_keys(
    parts: Sequence[SourcePart],
    target: TargetMesh,
    fit: Similarity | None = None,
    marked: MarkedPoints | None = None,
    blinks: Sequence[int] = (),
):
    """Motions (K, V, 3) float32 of the target's vertices; yields the fraction done.

    The source stands upright along z, and so does the target, in the world or by its own axes; size, position and
    direction may differ. With a ``fit`` (``find_face``), or ``marked`` points (at least four), any orientation is
    allowed. ``blinks`` are the indices of the keys that close an eye. Raises ``AddonError`` ``no_face`` if the source
    has no motions or the target has no similar face.
    """
    pair = yield from staged(_pair(parts, target), 0.01, 0.05, 3)
    source, motions, face, mesh = pair.source, pair.motions, pair.face, pair.mesh
    skin, skin_index = mesh.part(pair.is_skin)
    pinned = None
    if marked is None:
        steps = registration.find_alignment(source, face, skin, target.axes) if fit is None else iter(())
        fit = (yield from staged(steps, 0.05, 0.3, 120)) or fit
    else:
        fit = registration.align_by_points(marked.source, marked.target)
        fit = yield from staged(registration.refine_alignment(source, face, skin, fit), 0.05, 0.3, 12)
        at, _ = yield from staged(registration.nearest(marked.source, source.vertices), 0.3, 0.3, 1)
        pinned = (at, marked.target)
    rest = source.moved(fit.apply(source.vertices))
    face_size = float(np.linalg.norm(np.ptp(rest.vertices[face], axis=0)))
    bent = yield from staged(registration.register(rest, skin, face_size, pinned), 0.3, 0.6, 900)
    alike = yield from staged(registration.relief_alike(rest, face, bent, skin, face_size), 0.6, 0.61, 80)
    if marked is None and alike < registration.LEAST_ALIKE:
        raise registration.no_face()
    partner = yield from staged(registration.correspond(skin, rest.moved(bent), face_size), 0.61, 0.65, 60)
    frames = yield from staged(bent_frames(source, bent), 0.65, 0.66, 5)
    agreed = replace(partner, sure=partner.sure * _agreement(source, skin, partner, motions, fit.scale))
    of_skin = yield from staged(carry(source, frames, skin, agreed, motions), 0.66, 0.88)
    out = np.zeros((len(motions), len(mesh.vertices), 3), np.float32)
    placed = [place_part(*piece, source.vertices, bent) for piece in pair.loose]
    others = np.setdiff1d(mesh.pieces, mesh.pieces[pair.is_skin])
    eyes = eyeballs(mesh, others, placed)
    for key in blinks:
        yield from staged(shut_lids(of_skin[key], skin, eyes, partner.sure), 0.88, 0.9, 60)
    out[:, skin_index] = of_skin
    if len(others):
        steps = move_pieces(out, mesh, others, skin_index, placed, face_size)
        yield from staged(steps, 0.9, 0.97, 100)
    return out[:, pair.number]


def _split_source(
    parts: Sequence[SourcePart],
) -> tuple[registration.Surface, np.ndarray, list[tuple[np.ndarray, np.ndarray]]]:
    """The source's skin with its motions, and vertices and motions of its other pieces."""
    surfaces = []
    for part in parts:
        mesh, number = registration.welded(
            np.asarray(part.vertices, float), part.triangles, np.zeros(len(part.vertices))
        )
        motions = np.zeros((len(part.motions), len(mesh.vertices), 3))
        motions[:, number] = part.motions
        for piece in range(mesh.pieces.max() + 1 if len(mesh.vertices) else 0):
            surface, index = mesh.part(mesh.pieces == piece)
            surfaces.append((surface, motions[:, index]))
    if not surfaces:
        raise AddonError("The source has no faces.", "Choose a head with shape keys.", "no_face")
    skin = max(range(len(surfaces)), key=lambda number: len(surfaces[number][0].vertices))
    loose = [(s.vertices, m) for number, (s, m) in enumerate(surfaces) if number != skin and len(s.vertices) >= 20]
    return *surfaces[skin], loose


def staged(steps, first: float, last: float, expected: int = 0):
    """Run a generator as the part from ``first`` to ``last`` of a whole, by its fractions or, where it yields none, by
    as many turns as are ``expected``."""
    count = 0
    while True:
        try:
            done = next(steps)
        except StopIteration as stop:
            return stop.value
        count += 1
        yield first + (last - first) * (min(count / expected, 1.0) if expected else done)
