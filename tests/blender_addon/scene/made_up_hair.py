"""Hair grown on the template's mean head, as the fit of the hair hands it on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.spatial import cKDTree

from backend.geometry.template import Template
from backend.hair.groom import load_grooms
from backend.hair.groom.dress import groom_strands
from backend.hair.hair_strands import HairStrands, resampled_to

BROWN, FAIR = (0.055, 0.026, 0.012), (0.30, 0.18, 0.085)


def made_up_hair(template: Template, guides: int) -> HairStrands:
    """Long hair, parted in the middle, brown with fairer tips."""
    random = np.random.default_rng(3)
    grown = groom_strands(load_grooms()["long_straight"], template.vertices.astype(np.float64))
    chosen = np.resize(random.permutation(len(grown.points)), guides)
    points = resampled_to(grown.points, 16)[chosen].astype(np.float64)
    points[:, 1:] += 0.001 * random.normal(size=(guides, 1, 3))
    head = template.head
    quads, uv_quads = template.quads[: head.face_stop], template.uv_head_quads[: head.face_stop]
    near = cKDTree(template.vertices[quads].mean(1)).query(points[:, 0])[1]  # a root in the middle of a face
    points[:, 0] = template.vertices[quads[near]].mean(1)
    tone = np.exp(random.normal(0, 0.15, (guides, 1)))
    return replace(
        grown,
        points=points.astype(np.float32),
        root_uv=template.uv_head[uv_quads[near]].mean(1).astype(np.float32),
        width=(0.011 * random.uniform(0.7, 1.2, guides)).astype(np.float32),
        root_colour=(np.array(BROWN) * tone).astype(np.float32),
        tip_colour=(np.array(FAIR) * tone).astype(np.float32),
        scalp_uv=grown.scalp_uv[chosen],
        free=grown.free[chosen],
        parameters={"top": 0.36},
    )
