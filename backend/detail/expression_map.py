"""Map of the skin deformation caused by an expression, from which wrinkles are predicted."""

from __future__ import annotations

import numpy as np

from backend.detail.window import DetailWindow, SurfaceFrames, surface_frames

CHANNELS = 9
_STRAIN_LIMIT = 0.8
"""Limit of the strain: beyond it the cage's own lines crowd, whereas real skin folds."""


def vertex_strain(rest: SurfaceFrames, posed: SurfaceFrames) -> np.ndarray:
    """(V, 3) Green strain in the axes of the frame at rest: along x, along y (up), and the shear between them.

    E = (F'F - I) / 2, where F is the derivative of the posed surface with respect to the surface at rest. A negative
    value means compression along that axis.
    """
    axes = rest.axes()[:, :2]  # (V, 2, 3)
    inner = np.einsum("vkc,vic->vik", axes, rest.across)  # window coordinates by axis coordinates: (V, 2, 2)
    before = np.einsum("vci,vik->vck", rest.along, inner)  # (V, 3, 2), orthonormal except where the map is degenerate
    after = np.einsum("vci,vik->vck", posed.along, inner)
    strain = 0.5 * (np.einsum("vci,vcj->vij", after, after) - np.einsum("vci,vcj->vij", before, before))
    strain = np.clip(strain, -_STRAIN_LIMIT, _STRAIN_LIMIT)
    return np.stack([strain[:, 0, 0], strain[:, 1, 1], strain[:, 0, 1]], 1)


def vertex_expression(
    rest_positions: np.ndarray, posed_positions: np.ndarray, rest: SurfaceFrames, posed: SurfaceFrames
) -> np.ndarray:
    """(V, 9) features of an expression, in the axes of the skin at rest: displacement (centimetres), change of the
    normal, and strain (``vertex_strain``) times five."""
    axes = rest.axes()
    moved = np.einsum("vkc,vc->vk", axes, posed_positions - rest_positions) * 100.0
    turned = np.einsum("vkc,vc->vk", axes, posed.normals - rest.normals)
    return np.concatenate([moved, turned, vertex_strain(rest, posed) * 5.0], 1)


class ExpressionMaps:
    """Computes expression maps relative to one face at rest.

    Parameters
    ----------
    window : has the size of the maps. neutral : (C, 3) cage at rest, head frame, metres.
    """

    def __init__(self, window: DetailWindow, neutral: np.ndarray) -> None:
        self._window, self._surface = window, window.surface
        self._rest = self._surface.lifted(np.asarray(neutral, np.float64))
        self._frames = surface_frames(self._surface, self._rest)

    def of(self, posed: np.ndarray) -> np.ndarray:
        """(9, N, N) float32 expression map of a posed cage (C, 3); zero where the window has no skin."""
        positions = self._surface.lifted(np.asarray(posed, np.float64))
        values = vertex_expression(self._rest, positions, self._frames, surface_frames(self._surface, positions))
        return np.ascontiguousarray(self._window.image(values).transpose(2, 0, 1))
