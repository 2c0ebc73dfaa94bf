"""Fat, muscle and skin on a face's bones: weight fills them along the normals, age thins and lowers them.

A face of the synthetic people's linear modes and bumps is taken as bone under the thin skin of a young person with a
body mass index of ``THIN``. Pads of soft tissue lie on it, equal on left and right. Each pad's thickness is its own
function of the weight (cheeks fill first, the double chin last) and greater where the face is hollow. With age pads
become thinner and sink, more so on heavier faces, and all skin below the cheekbone sags; ligaments hold it beside
the chin. Skin close to bone (bridge of the nose, brow ridge, orbits), eyes and teeth do not move.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from backend.geometry.normals import vertex_normals
from backend.geometry.template import Template
from backend.geometry.topology import triangles_from_quads
from trainer.data.living.surroundings import Surroundings

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
