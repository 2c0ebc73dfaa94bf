"""Made-up hair."""

import numpy as np

from backend.hair.hair_strands import HairStrands


def made_strands(guides: int = 60, points: int = 16) -> HairStrands:
    """Straight strands that hang from a ring above the head."""
    generator = np.random.default_rng(0)
    angle = np.linspace(0, 2 * np.pi, guides, endpoint=False)
    t = np.linspace(0, 1, points)[None]
    line = np.stack([0.08 * np.cos(angle)[:, None] * (1 + t), 0.8 - 0.2 * t + 0 * angle[:, None],
                     0.08 * np.sin(angle)[:, None] * (1 + t)], -1)  # fmt: skip
    colours = generator.uniform(0.02, 0.3, (2, guides, 3)).astype(np.float32)
    return HairStrands(
        points=line.astype(np.float32),
        root_uv=generator.random((guides, 2)).astype(np.float32),
        width=np.full(guides, 0.01, np.float32),
        root_colour=colours[0],
        tip_colour=colours[1],
        hair_radius=4e-5,
        style="bob",
        parameters={"top": 0.25},
    )
