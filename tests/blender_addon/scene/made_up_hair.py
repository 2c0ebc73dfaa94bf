"""Hair grown on the template's mean head, as the fit of the hair hands it on."""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial import cKDTree

from backend.geometry.template import Template
from backend.hair.hair_strands import HairStrands
from backend.hair.hull import head_hull, hull_surface
from trainer.people.dress.grow import Flow, Locks, grow, lock_paths

BROWN, FAIR = (0.055, 0.026, 0.012), (0.30, 0.18, 0.085)


def made_up_hair(template: Template, guides: int, length: float = 0.36, waves: float = 2.0) -> HairStrands:
    """Long hair, parted in the middle, brown with fairer tips; ``length`` in metres, ``waves`` a strand."""
    random = np.random.default_rng(3)
    hull = head_hull(template)
    place = (np.arange(guides)[:, None] * [0.7548776662466927, 0.5698402909980532]) % 1
    a = (place[:, 0] - 0.5) * 2 * np.pi
    s = place[:, 1] ** 0.62 * hull.line(a, hull.hairline) * 0.985
    lengths = length * random.uniform(0.8, 1.05, guides)
    constant = {
        "base": 0.002, "floor": 0.008, "up": 0.25, "bend": 0.95, "forward": 0.0, "turn_x": 0.0, "turn_z": 0.0,
        "drift": 0.0, "fringe": 0.0, "tied": 0.0, "cut_jitter": 0.0, "width": 0.012, "taper": 0.8, "roll": 0.0,
        "amplitude": 0.005, "waves": waves, "phase": 0.0, "wild": 0.001, "tone": 1.0, "second": 0.0,
    }  # fmt: skip
    arrays = {name: np.full(guides, value) for name, value in constant.items()}
    arrays |= {"azimuth": a, "s": s, "length": lengths, "phase": 2 * a + random.normal(0, 0.4, guides)}
    arrays["floor"] = 0.003 + 0.006 * random.random(guides) + 0.02 * lengths * (1 - s / 0.25)
    arrays["turn_x"], arrays["turn_z"] = 0.1 * random.normal(0, 0.6, (2, guides))
    flow = {
        "whorl": (0.0, -0.045), "radial": 0.3, "forward": 0.0, "backward": 0.2, "sideways": 1.2, "parting": 0.0,
        "tied": 0.0, "tie": (0.0, -0.1), "gravity": 1.0, "window": 0.95, "cut": 0.6, "fringe_drop": 0.0, "volume": 0.03,
        "gather": 0.3,
    }  # fmt: skip
    locks = Locks(**{name: torch.tensor(value[None], dtype=torch.float32) for name, value in arrays.items()})
    surface = hull_surface(hull, torch.from_numpy(template.vertices[None]).float(), torch.tensor([0.01]))
    lines = [torch.from_numpy(line).float() for line in (hull.hairline, hull.brow_line)]
    azimuth, down, height = grow(
        locks, Flow(**{name: torch.tensor([value]) for name, value in flow.items()}), *lines, 15
    )
    points = lock_paths(surface, locks, azimuth, down, height)[0][0].numpy()
    head = template.head
    quads, uv_quads = template.quads[: head.face_stop], template.uv_head_quads[: head.face_stop]
    near = cKDTree(template.vertices[quads].mean(1)).query(points[:, 0])[1]  # a root in the middle of a face
    points[:, 0] = template.vertices[quads[near]].mean(1)
    tone = np.exp(random.normal(0, 0.15, (guides, 1)))
    return HairStrands(
        points=points.astype(np.float32),
        root_uv=template.uv_head[uv_quads[near]].mean(1).astype(np.float32),
        width=(0.011 * random.uniform(0.7, 1.2, guides)).astype(np.float32),
        root_colour=(np.array(BROWN) * tone).astype(np.float32),
        tip_colour=(np.array(FAIR) * tone).astype(np.float32),
        hair_radius=4e-5,
        style="long wavy",
        parameters={"top": length, "parting": 0.0},
    )
