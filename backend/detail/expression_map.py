"""What an expression does to the skin, as a map: the cause of wrinkles."""

from __future__ import annotations

import numpy as np

from backend.detail.window import DetailWindow, SurfaceFrames, surface_frames

CHANNELS = 9
_STRAIN_LIMIT = 0.8
"""Beyond this strain the cage's own lines crowd; real skin folds."""


def vertex_strain(rest: SurfaceFrames, posed: SurfaceFrames) -> np.ndarray:
    """(V, 3) Green strain in the rest frame's axes: along x, along y (up), and the shear between them.

    E = (F'F - I) / 2, F the derivative of the posed surface by the resting one. Negative along an axis: the skin is
    pressed together in this direction.
    """
    axes = rest.axes()[:, :2]  # (V, 2, 3)
    inner = np.einsum("vkc,vic->vik", axes, rest.across)  # window coordinates by axis coordinates: (V, 2, 2)
    before = np.einsum("vci,vik->vck", rest.along, inner)  # (V, 3, 2), orthonormal but where the map is degenerate
    after = np.einsum("vci,vik->vck", posed.along, inner)
    strain = 0.5 * (np.einsum("vci,vcj->vij", after, after) - np.einsum("vci,vcj->vij", before, before))
    strain = np.clip(strain, -_STRAIN_LIMIT, _STRAIN_LIMIT)
    return np.stack([strain[:, 0, 0], strain[:, 1, 1], strain[:, 0, 1]], 1)


def vertex_expression(
    rest_positions: np.ndarray, posed_positions: np.ndarray, rest: SurfaceFrames, posed: SurfaceFrames
) -> np.ndarray:
    """(V, 9) of one expression, in the axes of the skin at rest: how the vertices move (centimetres), how their normals
    turn, and the strain (``vertex_strain``) in steps of a fifth."""
    axes = rest.axes()
    moved = np.einsum("vkc,vc->vk", axes, posed_positions - rest_positions) * 100.0
    turned = np.einsum("vkc,vc->vk", axes, posed.normals - rest.normals)
    return np.concatenate([moved, turned, vertex_strain(rest, posed) * 5.0], 1)


class ExpressionMaps:
    """Makes expression maps of one face at rest.

    Parameters
    ----------
    window : of the size that the maps shall have. neutral : (C, 3) cage at rest, head frame, metres.
    """

    def __init__(self, window: DetailWindow, neutral: np.ndarray) -> None:
        self._window, self._surface = window, window.surface
        self._rest = self._surface.lifted(np.asarray(neutral, np.float64))
        self._frames = surface_frames(self._surface, self._rest)

    def of(self, posed: np.ndarray) -> np.ndarray:
        """(9, N, N) float32 of a posed cage (C, 3); zero where the window shows no skin."""
        positions = self._surface.lifted(np.asarray(posed, np.float64))
        values = vertex_expression(self._rest, positions, self._frames, surface_frames(self._surface, positions))
        return np.ascontiguousarray(self._window.image(values).transpose(2, 0, 1))
