"""A synthetic person's surface: identity, expression, and the mesh that carries both.

Identity is coefficients of the template's modes with heavy tails, and shape outside their span; expressions are the 52
weights in realistic combinations, lids and gaze. Adding the template's keys unchanged to every face would make all
expressions linear. Here each offset is rotated and stretched like the skin around it between the mean head and the
person's (the first order of deformation transfer, Sumner & Popovic 2004). The jaw's part of ``jawOpen`` rotates about
the person's own hinge, and no lid intersects an eyeball.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from backend.geometry.mesh_hierarchy import spread
from backend.geometry.subdivision import catmull_clark
from backend.geometry.template import LandmarkEmbedding, Template, load_template, triangulate
from protocol.names import ARKIT_INDEX, ARKIT_NAMES
from trainer.engine.batch import Coding
from trainer.people.look import TABLES

PARTS = ("head", "eye_left", "eye_right", "teeth_upper", "teeth_lower", "tongue")
"""The template's rendered parts; lashes are painted."""
HEAD, EYE_LEFT, EYE_RIGHT, TEETH_UPPER, TEETH_LOWER, TONGUE = range(6)
"""Kinds of vertices in ``PeopleSurface.kind``."""


class PeopleSurface:
    """The rendered triangles, on one device.

    The template has V vertices; cut open at the UV seams there are X.

    Attributes
    ----------
    template : the template. mean (V, 3), modes (K, V, 3), expressions (52, V, 3): its arrays on the device; expressions
        do not move the eyeballs, which are rotated instead.
    faces : (F, 3) of the mesh before cutting; used for normals. cut_faces : (F, 3) into X.
    source : (X,) vertex among V. uv : (X, 2) in [0, 1], v up.
    kind : (V,) part of each vertex, ``HEAD`` to ``TONGUE``, -1 for those that are not rendered. face_kind : (F,).
    rest : (V, 3) the mean face after smoothing, metres.
    """

    def __init__(self, template: Template, device: torch.device) -> None:
        self.template, self.device = template, device
        ranges = [template.parts[name] for name in PARTS]
        quads = np.concatenate([template.quads[part.face_start : part.face_stop] for part in ranges])
        uv_quads = np.concatenate([template.uv_head_quads[part.face_start : part.face_stop] for part in ranges])
        triangles = triangulate(quads)
        uv_faces = triangles.apply(uv_quads)
        pairs, cut = np.unique(np.stack([triangles.faces.ravel(), uv_faces.ravel()], 1), axis=0, return_inverse=True)
        count = len(template.vertices)
        kind = np.full(count, -1, np.int64)
        for number, part in enumerate(ranges):
            kind[part.vertex_start : part.vertex_stop] = number
        expressions = template.expressions.copy()
        for eye in ("eye_left", "eye_right"):
            part = template.parts[eye]
            expressions[:, part.vertex_start : part.vertex_stop] = 0
        moved = catmull_clark(template.quads.astype(np.int64), count)[0][:count].tocoo()
        places, values = torch.from_numpy(np.stack(moved.coords)), torch.from_numpy(moved.data.astype(np.float32))
        smoothing = torch.sparse_coo_tensor(places, values, moved.shape, check_invariants=False)
        self._smoothing = smoothing.coalesce().to(device)
        self.vertex_count = count
        self.mean = torch.from_numpy(template.vertices).to(device)
        self.modes = torch.from_numpy(template.identity_modes).to(device)
        self.expressions = torch.from_numpy(expressions).to(device)
        self.faces = torch.from_numpy(triangles.faces).to(device)
        self.cut_faces = torch.from_numpy(cut.reshape(-1, 3)).to(device)
        self.source = torch.from_numpy(pairs[:, 0]).to(device)
        self.uv = torch.from_numpy(template.uv_head[pairs[:, 1]].astype(np.float32)).to(device)
        self.kind = torch.from_numpy(kind).to(device)
        self.face_kind = self.kind[self.faces[:, 0]]
        self.rest = self.smoothed(self.mean[None])[0]

    def smoothed(self, cage: Tensor) -> Tensor:
        """Smooth cages (N, V, 3): their vertices (N, V, 3) after one Catmull-Clark step."""
        return spread(self._smoothing, cage)


@lru_cache(maxsize=2)
def people_surface(device: torch.device) -> PeopleSurface:
    """The template's surface on a device, made once."""
    return PeopleSurface(load_template(), device)


def points_on(marks: LandmarkEmbedding, vertices: Tensor) -> Tensor:
    """(N, L, 3) landmarks on template vertices (N, >= V, 3)."""
    corners, weights = torch.from_numpy(marks.vertices.astype(np.int64)), torch.from_numpy(marks.barycentrics)
    return (vertices[:, corners.to(vertices.device)] * weights.to(vertices.device)[..., None]).sum(2)


BUMPS = 20
BANK = 256
"""Number of smooth bumps shared by all people; there are as many mirror images."""
_SPREAD = 0.95
_LIMIT = 2.8
_AMPLITUDE = 0.0013
_ASYMMETRY = 0.45


SHAPE_CODING = Coding(np.int16, step=1e-5, offset=lambda: load_template().vertices)
"""Shapes on disk: 16-bit multiples of a hundredth of a millimetre from the mean face, up to 33 cm."""


@dataclass(frozen=True)
class IdentityParameters:
    """Parameters of one person's shape.

    Attributes
    ----------
    coefficients : (K,) of the identity modes, in standard deviations.
    bumps : (2 * BANK, 3) offsets of the bumps, in units of each bump's size; the second half are mirror images.
    """

    coefficients: np.ndarray
    bumps: np.ndarray


def draw_identity(generator: np.random.Generator, modes: int) -> IdentityParameters:
    """Draw one person: coefficients with the heavy tails of Student's t distribution, and 20 smooth bumps."""
    tails = np.sqrt(9 / generator.chisquare(9)) * np.sqrt(7 / 9)
    scales = np.sqrt(7 / generator.chisquare(7, modes)) * np.sqrt(5 / 7)
    coefficients = _SPREAD * tails * scales * generator.standard_normal(modes)
    bumps = np.zeros((2 * BANK, 3), np.float32)
    chosen = generator.choice(BANK, BUMPS, replace=False)
    offsets = generator.standard_normal((BUMPS, 3))
    mirrored = generator.random(BUMPS) > _ASYMMETRY
    bumps[chosen] = offsets
    bumps[chosen + BANK] = offsets * [-1, 1, 1] * mirrored[:, None]
    return IdentityParameters(np.clip(coefficients, -_LIMIT, _LIMIT).astype(np.float32), bumps)


class IdentityShapes:
    """Neutral faces of people, for one surface."""

    def __init__(self, surface: PeopleSurface) -> None:
        self.surface = surface
        self._bank = torch.from_numpy(_bump_bank(surface)).to(surface.device)

    def neutral(self, people: list[IdentityParameters]) -> Tensor:
        """(N, V, 3) neutral cages."""
        surface = self.surface
        device = surface.device
        coefficients = torch.from_numpy(np.stack([one.coefficients for one in people])).to(device)
        shape = coefficients @ surface.modes.flatten(1)  # (N, V * 3)
        cage = surface.mean + shape.view(len(people), -1, 3)
        bumps = torch.from_numpy(np.stack([one.bumps for one in people])).to(device)  # (N, B, 3)
        moved = bumps.transpose(1, 2).reshape(-1, 2 * BANK) @ self._bank  # (N * 3, V)
        return cage + moved.view(len(people), 3, -1).transpose(1, 2)


def _bump_bank(surface: PeopleSurface) -> np.ndarray:
    """(2 * BANK, V) float32 Gaussian bumps times their sizes in metres, weak around eyes and mouth.

    The weakening depends only on position, so that what lies behind the skin moves with it; eyeballs do not move.
    """
    template = surface.template
    vertices = template.vertices.astype(np.float64)
    generator = np.random.Generator(np.random.Philox(key=7))
    head = template.head.vertex_stop
    weight = template.regions["face"][:head] + 0.3
    centres = vertices[generator.choice(head, BANK, replace=False, p=weight / weight.sum())]
    radius = np.exp(generator.uniform(np.log(0.008), np.log(0.05), BANK))
    size = _AMPLITUDE * (radius / 0.02) ** 0.7
    calm = np.zeros(len(vertices))
    marks = template.landmarks478.positions(vertices)
    for centre, inner, outer in ((template.eye_pivots[0], 0.021, 0.040), (template.eye_pivots[1], 0.021, 0.040),
                                (marks[13], 0.022, 0.050)):  # fmt: skip
        t = np.clip((outer - np.linalg.norm(vertices - centre, axis=1)) / (outer - inner), 0, 1)
        calm = np.maximum(calm, t * t * (3 - 2 * t))
    share = 1 - 0.96 * calm
    eyes = template.parts["eye_left"].vertex_start, template.parts["eye_right"].vertex_stop
    share[eyes[0] : eyes[1]] = 0
    bank = []
    for side in (1.0, -1.0):
        squared = ((vertices[None] - (centres * [side, 1, 1])[:, None]) ** 2).sum(-1)  # (B, V)
        bank.append(np.exp(-squared / (2 * radius[:, None] ** 2)) * size[:, None] * share)
    return np.concatenate(bank).astype(np.float32)


def eye_centres(surface: PeopleSurface, cage: Tensor) -> Tensor:
    """(N, 2, 3) centres of the left and the right eyeball of cages (N, V, 3)."""
    centres = []
    for kind in (EYE_LEFT, EYE_RIGHT):
        rows = (surface.kind[: surface.vertex_count] == kind).nonzero()[:, 0]
        centres.append(cage[:, rows].mean(1))
    return torch.stack(centres, 1)


_MOODS = TABLES["moods"]
MOOD_NAMES = tuple(_MOODS)
_SPARSE = tuple(n for n in range(len(ARKIT_NAMES)) if not ARKIT_NAMES[n].startswith(("eyeLook", "eyeBlink", "tongue")))
LOOK_LIMIT = np.radians(28.0)
"""Rotation of the eye at which the lids' eyeLook keys reach 1."""


@dataclass(frozen=True)
class ExpressionParameters:
    """Expression of one face in one picture.

    Attributes
    ----------
    weights : (52,) in the order of ``ARKIT_NAMES``, without eyeLook (these follow the gaze).
    at_camera : whether the person looks into the camera. glance : (2,) radians, to the person's left and up: added to
        the direction to the camera, or to straight ahead.
    """

    weights: np.ndarray
    at_camera: bool
    glance: np.ndarray


def draw_expression(generator: np.random.Generator, mood: str | None = None) -> ExpressionParameters:
    """Draw a mood of random strength, a little of another, sparse extras, lids and gaze."""
    names = list(_MOODS)
    chances = np.array([_MOODS[name]["chance"] for name in names])
    chosen = mood or names[generator.choice(len(names), p=chances / chances.sum())]
    second = names[generator.choice(len(names), p=chances / chances.sum())]
    strength = generator.uniform(0.35, 1.1)
    mix = generator.uniform(0.0, 0.45) * float(generator.random() < 0.35)
    weights = np.zeros(len(ARKIT_NAMES))
    lopsided = generator.normal(0, 0.09)
    for name, share in ((chosen, strength), (second, mix)):
        for key, value in _MOODS[name]["keys"].items():
            _add(weights, key, value * share * float(np.exp(generator.normal(0, 0.18))), lopsided)
    for _ in range(generator.poisson(1.2)):
        weights[generator.choice(_SPARSE)] += generator.exponential(0.12)
    weights[ARKIT_INDEX["jawOpen"]] += max(generator.normal(-0.05, 0.06), 0)
    weights[ARKIT_INDEX["mouthClose"]] *= 0.0
    lid = max(generator.normal(0.02, 0.07), 0.0)
    blink = generator.random()
    if blink < 0.035:
        lid = generator.uniform(0.85, 1.0)
    elif blink < 0.09:
        lid = generator.uniform(0.25, 0.7)
    _add(weights, "eyeBlink", lid, lopsided * 0.5)
    if generator.random() < 0.012:  # a wink
        weights[ARKIT_INDEX[("eyeBlinkLeft", "eyeBlinkRight")[generator.integers(2)]]] = generator.uniform(0.8, 1.0)
    if generator.random() < 0.006:
        weights[ARKIT_INDEX["tongueOut"]] = generator.uniform(0.5, 1)
        weights[ARKIT_INDEX["jawOpen"]] = generator.uniform(0.3, 0.5)
    at_camera = bool(generator.random() < 0.72)
    spread = np.radians((2.5, 2.0) if at_camera else (14.0, 8.0))
    return ExpressionParameters(
        np.clip(weights, 0, 1).astype(np.float32), at_camera, (generator.standard_normal(2) * spread).astype(np.float32)
    )


def _add(weights: np.ndarray, key: str, value: float, lopsided: float) -> None:
    """Add to a key, or to its left and right keys."""
    if key in ARKIT_INDEX:
        weights[ARKIT_INDEX[key]] += value
        return
    weights[ARKIT_INDEX[key + "Left"]] += value * (1 + lopsided)
    weights[ARKIT_INDEX[key + "Right"]] += value * (1 - lopsided)


def lid_weights(gaze: np.ndarray) -> np.ndarray:
    """(52,) eyeLook weights for gaze (2, 2): radians to the person's left and up, of the left and the right eye."""
    weights = np.zeros(len(ARKIT_NAMES), np.float32)
    for side, (left, up), outwards in (("Left", gaze[0], 1.0), ("Right", gaze[1], -1.0)):
        for name, angle in (("Out", left * outwards), ("In", -left * outwards), ("Up", up), ("Down", -up)):
            weights[ARKIT_INDEX[f"eyeLook{name}{side}"]] = np.clip(angle / LOOK_LIMIT, 0, 1)
    return weights


def gaze_angles(expression: ExpressionParameters, eyes: np.ndarray, camera: np.ndarray) -> np.ndarray:
    """(2, 2) radians to the person's left and up, of the left and the right eye.

    eyes : (2, 3) centres of the eyeballs, camera : (3,) its position, both in the head frame, metres. People turn
    their eyes at most about 30 degrees; angles saturate at 30 sideways and 16 up and down (tanh).
    """
    target = camera - eyes if expression.at_camera else np.tile([0.0, 0.0, 1.0], (2, 1))
    left = np.arctan2(target[:, 0], np.maximum(target[:, 2], 0.05))
    up = np.arctan2(target[:, 1], np.hypot(target[:, 0], target[:, 2]))
    angles = np.stack([left, up], -1) + expression.glance
    limit = np.radians([30.0, 16.0])
    return (limit * np.tanh(angles / limit)).astype(np.float32)


def blend_expressions(a: ExpressionParameters, b: ExpressionParameters, share: float) -> ExpressionParameters:
    """Interpolate between two expressions, for clips."""
    return ExpressionParameters(
        ((1 - share) * a.weights + share * b.weights).astype(np.float32),
        a.at_camera,
        ((1 - share) * a.glance + share * b.glance).astype(np.float32),
    )


_REGION_RADIUS = 0.01
"""Metres, standard deviation of the skin region whose deformation a key follows: about two centimetres, not single
edges."""
_STIFFNESS = 0.004
"""Metres; directions with a smaller extent of skin than this (its normal) are hardly rotated or stretched."""
_HINGE_REACH = 0.03
"""Metres, standard deviation of the skin region around the mean jaw's hinge that determines its motion."""
_LID_THICKNESS = 0.0008
"""Metres, thickness of the lid between its outer surface and the eyeball."""


class CarriedExpressions:
    """Pose neutral faces by weights, on one device. The template has V vertices, the first C are the head's."""

    def __init__(self, template: Template, device: torch.device) -> None:
        count = template.head.vertex_stop
        self.count = count
        self._mean = torch.from_numpy(template.vertices[:count]).to(device)
        self._middle = self._mean.mean(0)
        apart = torch.cdist(self._mean, self._mean)  # (C, C)
        pairs = (apart < 3 * _REGION_RADIUS).nonzero().T
        values = (-apart[pairs[0], pairs[1]].square() / (2 * _REGION_RADIUS**2)).exp()
        values = values / torch.zeros(count, device=device).index_add_(0, pairs[0], values)[pairs[0]]
        around = torch.sparse_coo_tensor(pairs, values, (count, count), check_invariants=False)
        self._around = around.coalesce().to(device)
        self._inverse = torch.linalg.inv(self._moment(self._mean[None])[0])  # (C, 3, 3)
        jaw = torch.from_numpy(template.jaw_weights.astype(np.float32)).to(device)
        self._jaw = jaw[:, None]
        self._pivot = torch.from_numpy(template.jaw_pivot.astype(np.float32)).to(device)
        axis = torch.from_numpy(template.jaw_axis.astype(np.float32)).to(device)
        self._axis = axis / axis.norm()
        hinge = (-(self._mean - self._pivot).square().sum(-1) / (2 * _HINGE_REACH**2)).exp()
        self._near_hinge = hinge / hinge.sum()
        keys = torch.from_numpy(template.expressions).to(device)
        whole = torch.from_numpy(template.vertices).to(device)
        opened = ARKIT_INDEX["jawOpen"]
        self._opened = opened
        self._angle = _hinge_angle(whole, keys[opened], self._pivot, self._axis, jaw > 0.9)
        turned = self._turned(whole[None], self._angle[None], self._pivot[None])[0]
        self._jaw_key = keys[opened] - (turned - whole)  # motion of opening besides the bone's rotation
        self._keys = keys.clone()
        self._keys[opened] = 0
        self._lids = [
            torch.from_numpy(template.regions[name][:count] > 0.5).to(device) for name in ("lids_left", "lids_right")
        ]
        self._eyes = [template.parts[name] for name in ("eye_left", "eye_right")]

    def posed(self, neutral: Tensor, weights: Tensor) -> Tensor:
        """(N, V, 3) faces posed with weights (N, 52) from neutral cages (N, V, 3); eyeballs do not move."""
        head = neutral[:, : self.count]
        carried = self._moment(head) @ self._inverse
        offsets = (weights @ self._keys.flatten(1)).view_as(neutral)
        pivot = self._pivot + ((head - self._mean) * self._near_hinge[:, None]).sum(1)
        opening = weights[:, self._opened]
        moved = self._turned(neutral + _transformed(carried, offsets), self._angle * opening, pivot)
        moved = moved + _transformed(carried, opening[:, None, None] * self._jaw_key)
        for part in self._eyes:
            rows = slice(part.vertex_start, part.vertex_stop)
            moved[:, rows] = neutral[:, rows]
        for rows, part in zip(self._lids, self._eyes, strict=True):
            ball = neutral[:, part.vertex_start : part.vertex_stop]
            centre = ball.mean(1, keepdim=True)
            radius = (ball - centre).norm(dim=-1).mean(1)[:, None] + _LID_THICKNESS
            rest = (head[:, rows] - centre).norm(dim=-1)
            arm = moved[:, : self.count][:, rows] - centre
            length = arm.norm(dim=-1).clamp(min=1e-6)
            least = torch.minimum(rest, radius)
            moved[:, : self.count][:, rows] = centre + arm * (torch.maximum(length, least) / length)[..., None]
        return moved

    def _turned(self, points: Tensor, angle: Tensor, pivot: Tensor) -> Tensor:
        """Rotate points (N, V, 3) by angles (N,) about the jaw's axis through pivots (N, 3), scaled by the jaw's
        weights."""
        arm = points - pivot[:, None]
        along = (arm * self._axis).sum(-1, keepdim=True) * self._axis
        across = torch.linalg.cross(self._axis.expand_as(arm), arm)
        cos, sin = (part[:, None, None] for part in (angle.cos(), angle.sin()))
        return points + self._jaw * ((arm - along) * (cos - 1) + across * sin)

    def _moment(self, head: Tensor) -> Tensor:
        """(N, C, 3, 3) second moments of heads (N, C, 3) with the mean head over each vertex's surroundings. Multiplied
        by the inverse of the mean head's own moments they give the skin's rotation and stretch."""
        people, rest = len(head), self._mean - self._middle
        head = head - self._middle  # small numbers have small rounding errors
        products = head[..., :, None] * rest[None, :, None, :]  # (N, C, 3, 3)
        middle = self._averaged(head.permute(1, 0, 2).reshape(self.count, -1)).view(self.count, people, 3)
        moment = self._averaged(products.permute(1, 0, 2, 3).reshape(self.count, -1)).view(self.count, people, 3, 3)
        moment = moment - middle[..., :, None] * self._averaged(rest)[:, None, None, :]
        return moment.transpose(0, 1) + _STIFFNESS**2 * torch.eye(3, device=head.device)

    def _averaged(self, values: Tensor) -> Tensor:
        """Average values (C, K) over each vertex's surroundings to (C, K)."""
        return torch.sparse.mm(self._around, values)


def _transformed(carried: Tensor, offsets: Tensor) -> Tensor:
    """Transform offsets (N, V, 3): those of the head by its matrices (N, C, 3, 3), the others unchanged."""
    count = carried.shape[1]
    return torch.cat([(carried @ offsets[:, :count, :, None])[..., 0], offsets[:, count:]], 1)


def _hinge_angle(mean: Tensor, key: Tensor, pivot: Tensor, axis: Tensor, on_jaw: Tensor) -> Tensor:
    """() radians of the jaw bone's rotation about the axis in a key (C, 3), by least squares of directions."""
    arm = (mean - pivot)[on_jaw]
    arm = arm - (arm @ axis)[:, None] * axis
    after = arm + key[on_jaw]
    after = after - (after @ axis)[:, None] * axis
    sine = (torch.linalg.cross(arm, after) @ axis).sum()
    return torch.atan2(sine, (arm * after).sum())
