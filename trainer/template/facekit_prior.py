"""Transfer ICT-FaceKit's mean and identity modes (statistics of real scans, MIT) to the template's head."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import splu

from backend.geometry.normals import vertex_normals
from backend.geometry.symmetry import symmetric_part
from backend.geometry.template import LandmarkEmbedding, Template
from trainer.template.closest_point import closest_points
from trainer.template.facekit_curves import curve_pulls
from trainer.template.model_fit import ModelFit, fit_model
from trainer.template.registration import (
    Pull,
    Surface,
    border_vertices,
    cotangent_laplacian,
    register,
    vertex_areas,
)
from trainer.template.scans import FaceKit, facekit_surface

FIT_LANDMARKS = tuple(index for index in range(17, 68) if index not in (48, 54, 60, 64))
"""iBUG landmarks at the same place on both heads: without jaw line and mouth corners (ours are 1-2 mm outside)."""


POCKET_STIFFNESS = 0.02
"""Length in metres over which vertices without a match on the scan keep the offset of their surroundings."""


@dataclass(frozen=True)
class HeadTopology:
    """The head's cage and its level-1 surface.

    Attributes
    ----------
    quads : (F, 4) of the cage; triangles : (T, 3) of the cage; mirror : (H,).
    matrix : (P, H) Catmull-Clark level 1; fine_triangles : (T2, 3).
    mouth : (F,) bool quads of the mouth's inside.
    regions : name -> (H,) float64.
    landmarks : the 68.
    """

    quads: np.ndarray
    triangles: np.ndarray
    mirror: np.ndarray
    matrix: sp.csr_matrix
    fine_triangles: np.ndarray
    mouth: np.ndarray
    regions: dict[str, np.ndarray]
    landmarks: LandmarkEmbedding

    def landmark_rows(self, indices: tuple[int, ...]) -> sp.csr_matrix:
        """(L, H) sparse rows of some of the 68 landmarks."""
        chosen = np.array(indices)
        rows = np.repeat(np.arange(len(chosen)), 3)
        values = self.landmarks.barycentrics[chosen].astype(np.float64).ravel()
        columns = self.landmarks.vertices[chosen].ravel()
        return sp.csr_matrix((values, (rows, columns)), shape=(len(chosen), len(self.mirror)))

    def skin_weights(self, **weights: float) -> np.ndarray:
        """(H,) weighted sum of regions, at most 1; 0 in sockets and mouth."""
        total = sum(factor * self.regions[name] for name, factor in weights.items())
        inside = (1 - self.regions["eye_sockets"]) * (1 - self.regions["mouth_interior"])
        return np.clip(total, 0, 1) * inside


def fit_to_facekit(head: HeadTopology, mean: np.ndarray, modes: np.ndarray, kit: FaceKit) -> ModelFit:
    """Fit MakeHuman's modes (K, H, 3) around ``mean`` (H, 3) to ICT-FaceKit's neutral; starts the registration."""
    weights = head.matrix @ head.skin_weights(face=1.0, scalp=0.4)
    return fit_model(
        mean, modes, head.matrix, head.fine_triangles, weights, facekit_surface(kit),
        head.landmark_rows(FIT_LANDMARKS), kit.neutral[kit.landmarks[list(FIT_LANDMARKS)]], iterations=25,
    )  # fmt: skip


def register_to_facekit(head: HeadTopology, template: Template, start: np.ndarray, kit: FaceKit) -> np.ndarray:
    """(H, 3) mirror-symmetric cage whose level-1 surface lies on ICT-FaceKit's neutral, in its frame.

    ``template`` gives the topology of the lines of lids and lips; ``start`` (H, 3) is the initial cage.
    """
    start = symmetric_part(start, head.mirror)
    whole = template.vertices.astype(np.float64)
    whole[: len(start)] = start
    chosen = list(FIT_LANDMARKS)
    marks = Pull(head.landmark_rows(FIT_LANDMARKS), kit.neutral[kit.landmarks[chosen]], np.full(len(chosen), 3e-5))
    # the lines constrain the smooth surface; level 1 has the cage's vertices first
    smooth = head.matrix[: len(start)]
    lines = curve_pulls(replace(template, vertices=whole), kit, kit.neutral)
    pulls = [marks, *(Pull(p.rows @ smooth, p.targets, 0.1 * p.weights, lasting=True) for p in lines)]
    weights = head.matrix @ head.skin_weights(face=1.0, ears=0.6, scalp=0.8, neck=0.6)
    regions = head.regions
    stiffer = 1.0 + sum(regions[name] for name in ("ears", "scalp", "neck", "eye_sockets", "mouth_interior"))
    surface = Surface(head.matrix, head.fine_triangles, head.triangles, weights, stiffer)
    return symmetric_part(register(start, surface, facekit_surface(kit), pulls), head.mirror)


@dataclass(frozen=True)
class Carrier:
    """Transfers offsets on ICT-FaceKit's vertices to the registered cage, smoothly where it has no match.

    Attributes
    ----------
    corners : (P, 3) FaceKit vertices, weights : (P, 3) barycentrics of each level-1 point's match.
    confidence : (P,) square metres, 0 without a match.
    """

    head: HeadTopology
    cage: np.ndarray
    corners: np.ndarray
    weights: np.ndarray
    confidence: np.ndarray

    def carry(self, offsets: np.ndarray, smoothing: float = 0.003) -> np.ndarray:
        """(N, H, 3) cage offsets from FaceKit offsets (N, V_kit, 3); details below ``smoothing`` metres fade."""
        count = len(self.cage)
        number = len(offsets)
        wanted = np.einsum("pc,npck->npk", self.weights, offsets[:, self.corners], optimize=True)
        matrix = self.head.matrix
        regions = self.head.regions
        scale = smoothing * (1.0 + regions["ears"] + 2 * regions["eye_sockets"] + 2 * regions["mouth_interior"])
        laplacian = cotangent_laplacian(self.cage, self.head.triangles)
        areas = np.maximum(vertex_areas(self.cage, self.head.triangles), 1e-8)
        plate = sp.diags(scale**2) @ laplacian
        system = plate.T @ sp.diags(1.0 / areas) @ plate + matrix.T @ sp.diags(self.confidence) @ matrix
        # pockets without a match (nostrils, mouth, sockets) follow their rim instead of extrapolating its slope
        share = (matrix.T @ self.confidence) / (matrix.T @ vertex_areas(matrix @ self.cage, self.head.fine_triangles))
        pocket = np.sqrt(np.clip(1.0 - 2.0 * share, 0.0, 1.0))
        springs = sp.diags(pocket) @ (sp.diags(laplacian.diagonal()) - laplacian) @ sp.diags(pocket)
        system = system + POCKET_STIFFNESS**2 * (sp.diags(np.asarray(springs.sum(1)).ravel()) - springs)
        right = matrix.T @ (self.confidence[:, None] * wanted.transpose(1, 0, 2).reshape(len(wanted[0]), -1))
        solution = splu((system + 1e-13 * sp.identity(count)).tocsc()).solve(right)
        return solution.reshape(count, number, 3).transpose(1, 0, 2)


def make_carrier(head: HeadTopology, cage: np.ndarray, kit: FaceKit) -> Carrier:
    """Find correspondences between the registered ``cage`` (H, 3), in FaceKit's frame, and FaceKit's neutral."""
    scan = facekit_surface(kit)
    points = head.matrix @ cage
    triangle, weights, distance = closest_points(points, scan.vertices, scan.triangles)
    corners = scan.triangles[triangle]
    normals = vertex_normals(scan.vertices, scan.triangles)
    facing = (vertex_normals(points, head.fine_triangles) * (normals[corners] * weights[..., None]).sum(1)).sum(1)
    inner = ~border_vertices(scan.triangles, len(scan.vertices))
    trust = np.clip((facing - 0.3) / 0.4, 0, 1) * np.clip(2 - distance / 0.003, 0, 1) * inner[corners].all(1)
    trust *= head.matrix @ head.skin_weights(face=1.0, ears=1.0, scalp=1.0, neck=1.0)
    confidence = trust * vertex_areas(points, head.fine_triangles)
    return Carrier(head, cage, corners, weights, confidence)
