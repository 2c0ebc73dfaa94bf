"""Faces whose skin moves as tissue does: shapes that no linear model holds.

Gaussian averages over the skin around each vertex.

Personal idiosyncrasies of expression: asymmetry, jaw drift to one side, lips that stick.

Lip contact: lips do not intersect, and their corners stay together while the jaw opens a little.

The gap between the lips' inner edges is corrected at nine stations between the corners of the mouth. A gap smaller
than at rest is compressed but never becomes zero. A larger gap is held closed until it is wider than the moisture can
bridge; this is strongest at the corners. The skin around an edge follows it.

Fat, muscle and skin on a face's bones: weight fills them along the normals, age thins and lowers them.

A face of the synthetic people's linear modes and bumps is taken as bone under the thin skin of a young person with a
body mass index of ``THIN``. Pads of soft tissue lie on it, equal on left and right. Each pad's thickness is its own
function of the weight (cheeks fill first, the double chin last) and greater where the face is hollow. With age pads
become thinner and sink, more so on heavier faces, and all skin below the cheekbone sags; ligaments hold it beside
the chin. Skin close to bone (bridge of the nose, brow ridge, orbits), eyes and teeth do not move.

Living people: faces made from bone, soft tissue and idiosyncrasies of expression.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from backend.geometry.mesh_hierarchy import spread
from backend.geometry.normals import vertex_normals
from backend.geometry.template import Template, triangles_from_quads
from backend.rig.arkit import ARKIT_INDEX, mirrored_name
from protocol.names import ARKIT_NAMES
from trainer.people.shape import CarriedExpressions, IdentityParameters, IdentityShapes, PeopleSurface, draw_identity


class Surroundings:
    """Gaussian means around each of C places (C, 3) in metres; ``reach`` is the standard deviation in metres."""

    def __init__(self, places: Tensor, reach: float) -> None:
        count = len(places)
        apart = torch.cdist(places, places)
        near = (apart < 3 * reach).nonzero().T
        values = (-apart[near[0], near[1]].square() / (2 * reach**2)).exp()
        values = values / torch.zeros(count, device=places.device).index_add_(0, near[0], values)[near[0]]
        matrix = torch.sparse_coo_tensor(near, values, (count, count), check_invariants=False)
        self._matrix = matrix.coalesce()

    def averaged(self, values: Tensor) -> Tensor:
        """Average values (N, C, K) to (N, C, K)."""
        return spread(self._matrix, values)


_SIDE_SPREAD, _KEY_SPREAD = 0.10, 0.11
"""Standard deviations of the asymmetry: the left side's general extra strength, and single movements' deviation from
it.
Together about 15 %, which observers of posed smiles report as usual."""
_MOST_ASYMMETRY = 0.4
_DRIFT = 0.05
"""Standard deviation of the weight of ``jawLeft`` (of ``jawRight`` where negative) that a full ``jawOpen`` adds."""
_STICK = (0.0012, 0.0035)
"""Metres, range of the gaps at the corners that sticking lips keep closed."""


@dataclass(frozen=True)
class Idiosyncrasies:
    """Idiosyncrasies of N people.

    Attributes
    ----------
    left : (N, 52) extra strength of a key on the left, relative to its weight; a pair of keys shares one number.
    drift : (N,) weight of ``jawLeft`` at a full ``jawOpen``. stick : (N,) metres.
    """

    left: Tensor
    drift: Tensor
    stick: Tensor


@dataclass(frozen=True)
class PersonIdiosyncrasies:
    """``Idiosyncrasies`` of one person, in numpy."""

    left: np.ndarray
    drift: float
    stick: float


def draw_idiosyncrasies(generator: np.random.Generator) -> PersonIdiosyncrasies:
    """Draw one person's idiosyncrasies."""
    general = generator.normal(0, _SIDE_SPREAD)
    own = generator.normal(0, _KEY_SPREAD, len(ARKIT_NAMES))
    for name, number in ARKIT_INDEX.items():
        own[number] = own[min(number, ARKIT_INDEX[mirrored_name(name)])]
    left = np.clip(general + own, -_MOST_ASYMMETRY, _MOST_ASYMMETRY).astype(np.float32)
    left[[number for name, number in ARKIT_INDEX.items() if name.startswith(_SYMMETRIC_KEYS)]] = 0
    return PersonIdiosyncrasies(left, float(generator.normal(0, _DRIFT)), float(generator.uniform(*_STICK)))


def stacked(people: list[PersonIdiosyncrasies], device: torch.device) -> Idiosyncrasies:
    """Stack people's idiosyncrasies to one ``Idiosyncrasies``."""
    left = torch.from_numpy(np.stack([one.left for one in people])).to(device)
    drift, stick = (torch.tensor([getattr(one, name) for one in people], device=device) for name in ("drift", "stick"))
    return Idiosyncrasies(left, drift, stick)


_SYMMETRIC_KEYS = ("eye", "jaw", "tongue", "mouthLeft", "mouthRight", "mouthClose")
"""Prefixes of keys without asymmetry: eyes move together, and motions of the jaw or the whole mouth have no sides."""
SIDED = torch.tensor([(name.endswith("Left")) * 1.0 - (name.endswith("Right")) * 1.0 for name in ARKIT_NAMES])
"""(52,) 1 for keys of the left side, -1 for the right, 0 for keys of both sides."""


def with_idiosyncrasies(weights: Tensor, idiosyncrasies: Idiosyncrasies) -> Tensor:
    """(N, 52) weights with idiosyncrasies from target weights (N, 52): asymmetric pairs, the jaw's drift, and lips that
    close over an open jaw (``mouthClose``) no further than it is open."""
    found = weights * (1 + SIDED.to(weights.device) * idiosyncrasies.left)
    close, opened = ARKIT_INDEX["mouthClose"], ARKIT_INDEX["jawOpen"]
    found = found.clone()
    found[:, close] = torch.minimum(weights[:, close], weights[:, opened])
    drift = idiosyncrasies.drift * weights[:, opened]
    found[:, ARKIT_INDEX["jawLeft"]] += drift.clamp(min=0)
    found[:, ARKIT_INDEX["jawRight"]] += (-drift).clamp(min=0)
    return found


UPPER = (191, 80, 81, 82, 13, 312, 311, 310, 415)
LOWER = (95, 88, 178, 87, 14, 317, 402, 318, 324)
"""MediaPipe's landmarks on the inner edges of the lips, from the right corner to the left."""
CORNERS = (78, 308)
_LEAST_GAP = 0.0003
"""Metres between the inner edges of closed lips."""
_YIELD_LENGTH = 0.0008
"""Metres over which lips yield when pressed together."""
_FOLLOW_RADIUS = 0.007
"""Metres, standard deviation of the skin region that follows an edge of the lips."""


_ITERATIONS = 5
"""Iterations: stations share skin, so one round leaves part of the gap error; five leave less than a hundredth."""


class LipContact:
    """The lips of N heads, on one device; the first C of the template's V vertices are the head's."""

    def __init__(self, template: Template, device: torch.device) -> None:
        count = template.head.vertex_stop
        self._count = count
        marks = template.landmarks478
        self._vertices = torch.from_numpy(marks.vertices[list(UPPER + LOWER)].astype(np.int64)).to(device)
        self._weights = torch.from_numpy(marks.barycentrics[list(UPPER + LOWER)]).to(device)
        vertices = template.vertices.astype(np.float64)
        places = marks.positions(vertices)
        across = places[list(UPPER), 0]
        half = places[CORNERS[1], 0]
        self._outward = torch.from_numpy((np.abs(across) / half).astype(np.float32)).to(device)
        self._follow = torch.from_numpy(_following(template)).to(device)

    def gaps(self, faces: Tensor) -> Tensor:
        """(N, 9) metres from the lower lip's inner edge up to the upper lip's, of faces (N, V, 3)."""
        edges = (faces[:, self._vertices, 1] * self._weights).sum(-1)
        return edges[:, : len(UPPER)] - edges[:, len(UPPER) :]

    def parted(self, neutral: Tensor) -> Tensor:
        """Correct neutral faces (N, V, 3) so that the lips touch without intersecting."""
        gap = self.gaps(neutral)
        wanted = _LEAST_GAP + torch.nn.functional.softplus((gap - _LEAST_GAP) / _YIELD_LENGTH) * _YIELD_LENGTH
        for _ in range(_ITERATIONS):
            neutral = self._moved(neutral, wanted)
        return neutral

    def touching(self, moved: Tensor, neutral: Tensor, stick: Tensor) -> Tensor:
        """Correct faces (N, V, 3), posed from ``neutral`` ones, so that lips collide and stick. stick : (N,) metres of
        gap that a person's lips keep closed at the corners."""
        wanted = self._held(self.gaps(moved), self.gaps(neutral).clamp(min=_LEAST_GAP), stick)
        for _ in range(_ITERATIONS):
            moved = self._moved(moved, wanted)
        return moved

    def _held(self, gap: Tensor, rest: Tensor, stick: Tensor) -> Tensor:
        """(N, 9) gaps with contact, from gaps (N, 9) without contact and gaps at rest."""
        opened = gap - rest
        squeezed = rest * torch.exp((opened / rest).clamp(-20, 0))
        holds = stick[:, None] * self._outward.square()
        wide = opened.clamp(min=0)
        freed = wide**3 / (wide.square() + holds.square()).clamp(min=1e-12)
        return torch.where(opened < 0, squeezed.clamp(min=0.2 * _LEAST_GAP), rest + freed)

    def _moved(self, faces: Tensor, wanted: Tensor) -> Tensor:
        """Move the lips of faces (N, V, 3) so that the gaps are about ``wanted`` (N, 9); each lip moves half of the
        way."""
        lift = 0.5 * (wanted - self.gaps(faces)) @ self._follow  # (N, C)
        faces = faces.clone()
        faces[:, : self._count, 1] += lift
        return faces


def _following(template: Template) -> np.ndarray:
    """(9, C) float32 weight of each vertex at each station: positive on the upper lip, negative on the lower.

    A vertex is assigned to a lip with the mouth open.
    """
    count = template.head.vertex_stop
    vertices = template.vertices[:count].astype(np.float64)
    marks = template.landmarks478
    places = marks.positions(template.vertices.astype(np.float64))
    opened = template.vertices + template.expressions[ARKIT_INDEX["jawOpen"]]
    wide = marks.positions(opened.astype(np.float64))
    edge = [np.linalg.norm(opened[:count, None] - wide[None, list(lip)], axis=2) for lip in (UPPER, LOWER)]  # (C, 9)
    above = edge[0].min(1) < edge[1].min(1)
    distance = np.where(above, edge[0].min(1), edge[1].min(1))
    fall = np.exp(-(distance**2) / (2 * _FOLLOW_RADIUS**2))
    across = np.concatenate([[places[CORNERS[0], 0]], places[list(UPPER), 0], [places[CORNERS[1], 0]]])
    hats = np.stack([np.interp(vertices[:, 0], across, row) for row in np.eye(len(across))[1:-1]])
    return (hats * fall * np.where(above, 1, -1)).astype(np.float32)


THIN = 19.0
"""kg/m2, body mass index of a face without soft tissue in this model."""
_FULLNESS_UNIT = 10.0
"""kg/m2 in one unit of fullness."""
_LEAST_FULLNESS = -0.25
"""Lower limit of fullness, at which no soft tissue is left to lose (16.5 kg/m2)."""
_SAG_BEGINS, _SAG_WIDTH = 52.0, 9.0
"""Years, centre and width of a logistic curve: half of the sag is reached at the centre, a fifth and four fifths at 1.4
widths before and after it."""
_THINNING = 0.35
"""Share of the upper pads' thickness lost with age."""
_SAG = 0.0045
"""Metres that the skin of the lower cheek sags in an old face of medium weight."""
_HOLLOWNESS_SCALE = 0.008
"""Metres of hollowness that increase a pad's thickness by a factor of e, within the limits ``_THICKNESS_LIMITS``."""
_THICKNESS_LIMITS = (0.65, 1.5)
_NORMAL_REACH = 0.008
"""Metres over which normals and hollowness are averaged, because fat is smoother than skin."""


@dataclass(frozen=True)
class _Pad:
    """``mark``: a MediaPipe landmark, on the left or in the middle. ``offset``: from there, millimetres to the left, up
    and forward. ``radius``: standard deviation, millimetres. ``thickness``: millimetres at one unit of fullness (29
    kg/m2), of the order of the differences in tables of facial soft tissue depth. ``late``: fullness above which it
    grows; None: it grows at once and saturates. ``sinks``: millimetres in an old face of medium weight. ``thins``:
    whether it gets thinner
    with age."""

    mark: int
    offset: tuple[float, float, float]
    radius: float
    thickness: float
    late: float | None
    sinks: float
    thins: bool


_PADS: Mapping[str, _Pad] = {
    "temple": _Pad(389, (0, 4, 0), 14, 1.8, None, 2, True),
    "malar": _Pad(330, (0, 4, 0), 11, 2.0, None, 7, True),
    "cheek": _Pad(411, (0, 2, 0), 16, 5.0, None, 11, True),
    "ramus": _Pad(288, (0, 14, 0), 18, 3.6, 0.0, 5, False),
    "jowl": _Pad(397, (-4, 2, 4), 14, 2.4, 0.4, 8, False),
    "mouth_side": _Pad(432, (4, -2, 0), 11, 1.4, 0.1, 7, False),
    "chin": _Pad(175, (0, 4, 0), 11, 1.2, 0.0, 1, False),
    "submental": _Pad(152, (0, -4, -36), 17, 5.5, 0.3, 4, False),
    "throat": _Pad(152, (0, -20, -58), 24, 5.0, 0.2, 3, False),
    "neck_side": _Pad(397, (2, -26, -26), 22, 3.6, 0.2, 3, False),
}
_EARLY_FULLNESS = 0.7
"""Fullness at which an early pad has 63 % of its final thickness."""
_LATE_ONSET = 0.25
"""Fullness over which a late pad's growth sets in."""
_LATE_SATURATION = 0.3
"""Saturation of a late pad's growth: twice the fullness is 1.6 times the pad."""
_OLD_FACES: Mapping[str, tuple[int, tuple[float, float, float], float, tuple[float, float, float]]] = {
    # changes with age beside fat: a landmark, an offset and a radius as above, and millimetres to the left, up and
    # forward in an old face
    "nose_tip": (4, (0, 0, 0), 8, (0, -2.5, 0.3)),
    "upper_lip": (0, (0, 0, 0), 9, (0, -0.8, -1.6)),
    "lower_lip": (17, (0, 0, 0), 8, (0, 0.3, -1.2)),
    "mouth_corner": (291, (0, 0, 0), 8, (0, -1.8, -0.4)),
    "brow_tail": (300, (0, 0, 0), 10, (0, -2.0, 0)),
    "under_eye": (449, (0, -6, 0), 6, (0, -0.4, 1.0)),
    "temple_hollow": (389, (0, 2, 0), 11, (-1.5, 0, 0)),
}


class SoftTissue:
    """Pads on the bones of N people, on one device. The template has V vertices, the first C are the head's."""

    def __init__(self, template: Template, device: torch.device) -> None:
        count = template.head.vertex_stop
        self._count = count
        head = template.head
        triangles = triangles_from_quads(template.quads[head.face_start : head.face_stop]).astype(np.int64)
        self._triangles = torch.from_numpy(triangles).to(device)
        self._mean = torch.from_numpy(template.vertices[:count]).to(device)
        self._around = Surroundings(self._mean, _NORMAL_REACH)
        self._free = torch.from_numpy(_mobility(template)[:count].astype(np.float32)).to(device)
        marks = template.landmarks478.positions(template.vertices.astype(np.float64))
        lowest = marks[454, 1] - 0.012  # from the lower edge of the cheekbone down
        height = (lowest - template.vertices[:count, 1]) / 0.03
        below = np.clip(height, 0, 1) * np.clip((template.vertices[:count, 1] - marks[152, 1] + 0.05) / 0.05, 0, 1)
        for mark in (32, 262, 152):  # mandibular ligaments and chin hold the skin
            apart = np.linalg.norm(template.vertices[:count] - marks[mark], axis=1)
            below = below * (1 - np.exp(-(apart**2) / (2 * 0.009**2)))
        for mark in (1, 164):  # nose and upper lip are attached to the skull
            apart = np.linalg.norm(template.vertices[:count] - marks[mark], axis=1)
            below = below * (1 - 0.9 * np.exp(-(apart**2) / (2 * 0.016**2)))
        self._below = torch.from_numpy(below.astype(np.float32)).to(device)
        places, owners = [], []
        for number, pad in enumerate(_PADS.values()):
            place = marks[pad.mark] + np.array(pad.offset) / 1000
            for side in (1, -1) if abs(place[0]) > 0.004 else (1,):
                places.append(place * [side, 1, 1])
                owners.append(number)
        self._places = torch.tensor(np.array(places), dtype=torch.float32, device=device)  # (P, 3)
        self._owners = torch.tensor(owners, device=device)
        self._aged = torch.from_numpy(_ageing_offsets(template, marks)[:count].astype(np.float32)).to(device)

    def laid(self, bone: Tensor, bmi: Tensor, age: Tensor) -> Tensor:
        """Add soft tissue to heads.

        bone : (N, V, 3) metres. bmi : (N,) kg/m2. age : (N,) years. Returns (N, V, 3); eyes, teeth, tongue and lashes
        do not move.
        """
        head = bone[:, : self._count]
        old = torch.sigmoid((age - _SAG_BEGINS) / _SAG_WIDTH)
        full = ((bmi - THIN) / _FULLNESS_UNIT).clamp(min=_LEAST_FULLNESS)
        normals = self._around.averaged(vertex_normals(head, self._triangles))
        normals = normals / normals.norm(dim=-1, keepdim=True).clamp(min=1e-6)
        thick = self.thickness(full, old) * self._room(head, normals)
        hanging = _SAG * (old * (0.45 + 0.55 * full.clamp(min=0)))[:, None] * self._below * self._free
        down = torch.zeros_like(head)
        down[..., 1] = -hanging
        moved = thick[..., None] * normals + down + old[:, None, None] * self._aged
        return torch.cat([head + moved, bone[:, self._count :]], 1)

    def thickness(self, full: Tensor, old: Tensor) -> Tensor:
        """(N, C) metres of soft tissue for fullness (N,) and sag (N,) in [0, 1]."""
        total = full.new_zeros(len(full), self._count)
        for number, pad in enumerate(_PADS.values()):
            if pad.late is None:
                grown = (1 - torch.exp(-full / _EARLY_FULLNESS)) / (1 - np.exp(-1 / _EARLY_FULLNESS))
            else:
                soft = torch.nn.functional.softplus((full - pad.late) / _LATE_ONSET) * _LATE_ONSET
                grown = soft / (1 - pad.late)
                grown = grown * (1 + _LATE_SATURATION) / (1 + _LATE_SATURATION * grown)
            kept = 1 - _THINNING * old if pad.thins else 1 + 0.25 * old
            sunk = pad.sinks / 1000 * old * (0.6 + 0.4 * full.clamp(min=0))
            for place in self._places[self._owners == number]:
                centre = place.expand(len(full), 3).clone()
                centre[:, 1] -= sunk
                apart = (self._mean - centre[:, None]).square().sum(-1)  # (N, C)
                bump = torch.exp(-apart / (2 * (pad.radius / 1000) ** 2))
                total = total + pad.thickness / 1000 * (grown * kept)[:, None] * bump
        return total * self._free

    def _room(self, head: Tensor, normals: Tensor) -> Tensor:
        """(N, C) factor, above one where the bones of heads (N, C, 3) lie further in than the mean face's."""
        out = self._around.averaged(((head - self._mean) * normals).sum(-1, keepdim=True))[..., 0]
        out = out - out.mean(1, keepdim=True)
        return torch.exp(-out / _HOLLOWNESS_SCALE).clamp(*_THICKNESS_LIMITS)


def _mobility(template: Template) -> np.ndarray:
    """(V,) in [0, 1], mobility of the skin over the bone."""
    vertices = template.vertices.astype(np.float64)
    marks = template.landmarks478.positions(vertices)
    held = np.zeros(len(vertices))
    for place, inner, outer in (
        (template.eye_pivots[0], 0.019, 0.034),
        (template.eye_pivots[1], 0.019, 0.034),
        (marks[168], 0.010, 0.024),
        (marks[197], 0.010, 0.020),
        (marks[5], 0.014, 0.024),
        (marks[107], 0.010, 0.022),
        (marks[336], 0.010, 0.022),
        (marks[13], 0.016, 0.046),
        (marks[152], 0.006, 0.024),
    ):
        t = np.clip((outer - np.linalg.norm(vertices - place, axis=1)) / (outer - inner), 0, 1)
        held = np.maximum(held, t * t * (3 - 2 * t))
    brow = marks[105, 1]
    t = np.clip((vertices[:, 1] - brow + 0.008) / 0.02, 0, 1)
    held = np.maximum(held, 0.85 * t)
    for name in ("ears", "mouth_interior", "eye_sockets", "scalp"):
        held = np.maximum(held, template.regions[name])
    return np.clip(1 - held, 0, 1)


def _ageing_offsets(template: Template, marks: np.ndarray) -> np.ndarray:
    """(V, 3) metres of motion with age in an old face, apart from soft tissue."""
    vertices = template.vertices.astype(np.float64)
    total = np.zeros_like(vertices)
    for mark, offset, radius, way in _OLD_FACES.values():
        place = marks[mark] + np.array(offset) / 1000
        for side in (1, -1) if abs(place[0]) > 0.004 else (1,):
            flip = np.array([side, 1, 1])
            apart = ((vertices - place * flip) ** 2).sum(1)
            total += np.exp(-apart / (2 * (radius / 1000) ** 2))[:, None] * np.array(way) * flip / 1000
    lobes = template.regions["ears"] * np.clip((marks[454, 1] - 0.012 - vertices[:, 1]) / 0.02, 0, 1)
    total[:, 1] -= 0.004 * lobes  # metres: ear lobes lengthen
    return total * (1 - np.maximum(template.regions["mouth_interior"], template.regions["eye_sockets"]))[:, None]


_USUAL_BMI, _BMI_SPREAD = 25.5, 0.19
"""kg/m2, and the standard deviation of its logarithm, for adults worldwide."""
_BMI_LIMITS = (16.5, 43.0)
_YOUNGEST, _OLDEST = 18.0, 88.0
_MEDIAN_BLEND = 0.012
"""Metres from the median plane at which a key of both sides has three quarters of a side's extra factor (tanh)."""


@dataclass(frozen=True)
class LivingPerson:
    """``bone``: the shape that ``draw_identity`` draws. ``bmi`` kg/m2, ``age`` years. ``idiosyncrasies`` of
    expression."""

    bone: IdentityParameters
    bmi: float
    age: float
    idiosyncrasies: PersonIdiosyncrasies


def draw_living_person(generator: np.random.Generator, modes: int) -> LivingPerson:
    """Draw one adult; people gain weight up to some sixty years."""
    bone = draw_identity(generator, modes)
    age = float(_YOUNGEST + (_OLDEST - _YOUNGEST) * generator.beta(1.3, 1.7))
    gained = 0.06 * np.clip((age - 40) / 20, -1, 1)
    bmi = float(np.clip(_USUAL_BMI * np.exp(gained + _BMI_SPREAD * generator.standard_normal()), *_BMI_LIMITS))
    return LivingPerson(bone, bmi, age, draw_idiosyncrasies(generator))


class LivingFaces:
    """Faces of living people on one surface. The template has V vertices, the first C are the head's."""

    def __init__(self, surface: PeopleSurface) -> None:
        template, device = surface.template, surface.device
        self._device = device
        self._bones = IdentityShapes(surface)
        self._tissue = SoftTissue(template, device)
        self._carried = CarriedExpressions(template, device)
        self._lips = LipContact(template, device)
        count = template.head.vertex_stop
        self._keys = torch.from_numpy(template.expressions[:, :count]).to(device)
        self._left = torch.tanh(torch.from_numpy(template.vertices[:count, 0]) / _MEDIAN_BLEND)[:, None].to(device)

    def bones(self, people: list[LivingPerson]) -> Tensor:
        """(N, V, 3) cages without soft tissue, metres."""
        return self._bones.neutral([one.bone for one in people])

    def neutral(self, people: list[LivingPerson]) -> Tensor:
        """(N, V, 3) neutral cages, metres."""
        bmi = torch.tensor([one.bmi for one in people], device=self._device)
        age = torch.tensor([one.age for one in people], device=self._device)
        return self._lips.parted(self._tissue.laid(self.bones(people), bmi, age))

    def idiosyncrasies(self, people: list[LivingPerson]) -> Idiosyncrasies:
        """Return these people's idiosyncrasies."""
        return stacked([one.idiosyncrasies for one in people], self._device)

    def posed(self, neutral: Tensor, weights: Tensor, idiosyncrasies: Idiosyncrasies) -> Tensor:
        """(N, V, 3) neutral faces (N, V, 3) posed with weights (N, 52), each with its own idiosyncrasies.

        For keys of both sides, the extra motion of one side is added as it is on the mean head. It is about a sixth of
        the key, and carrying it over to the person's face would change it by only a tenth.
        """
        moved = self._carried.posed(neutral, with_idiosyncrasies(weights, idiosyncrasies))
        both = weights * idiosyncrasies.left * (SIDED.to(weights.device) == 0)
        count = len(self._left)
        halves = (both @ self._keys.flatten(1)).view(-1, count, 3)
        moved = torch.cat([moved[:, :count] + self._left * halves, moved[:, count:]], 1)
        return self._lips.touching(moved, neutral, idiosyncrasies.stick)
