"""What identities are like: ICT-FaceKit (MIT) and faces simulated with it (Apache-2.0), the pool of two populations,
and heads of another topology on ``hm08``.

The template's modes come from ICT-FaceKit's people, whose coefficients are independent with mean 0. The simulated
population (the faces that training may use) has another mean. The fit's prior pools both (``python -m trainer
identity-population``); otherwise a face of the second population would count as a rare one of the first. ICT's head
carries scanned faces in evaluation photographs: whole, and in another topology than the template's.
"""

import argparse
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from backend.errors import LikenessError
from backend.fitting import scan as laying
from backend.fitting.solver import POPULATION_PATH, template_fingerprint
from backend.geometry.closest import TriangleMesh
from backend.geometry.surface_fields import surface_operators
from backend.geometry.template import load_template, triangles_from_quads
from backend.geometry.vectors import area_vectors, vertex_normals
from backend.system.files import write_arrays
from trainer.engine.disk_cache import shared_folder
from trainer.heads.makehuman import read_obj
from trainer.heads.surface import find_surface_landmarks

CENTIMETRE, MILLIMETRE = 0.01, 0.001
SKIN_STOP = 11248
SOCKETS_STOP = 14062
EYES = ((21451, 23021), (23021, 24591))
"""Vertex ranges of the eyeballs: the person's left (x > 0), then the right."""
TRAINING_SIMPOP = tuple(range(1, 15))
"""Simulated faces that training may use."""
_TALL = 0.2
"""Metres, 0.1 to 0.4: height of a face or head; a mesh's unit is the power of ten that comes nearest to it."""
SECOND_SHARE = 0.7
"""Share of the second population in the pool (docs/decisions/fitting.md)."""
_SAMPLE = 0.9
"""Weight of the second population's sample covariance; the rest is the first one's, because a few faces span few
directions. In leave-one-out, 0.5 and 0 were worse (docs/decisions/fitting.md)."""
_LEAST_COTANGENT = 0.02
"""Least half cotangent: thinner slivers of the cage would make the plate too soft across them."""
POCKET_STIFFNESS = 0.02
"""Length in metres over which vertices without a match on the scan keep the offset of their surroundings."""


@dataclass(frozen=True)
class IctModel:
    """Neutral (V, 3) metres, triangles (F, 3) and identity modes (100, V, 3)."""

    neutral: np.ndarray
    faces: np.ndarray
    identity: np.ndarray

    @property
    def skin(self) -> np.ndarray:
        """Triangles of face, head, neck and shoulders."""
        return self.faces[(self.faces < SKIN_STOP).all(1)]

    @property
    def visible(self) -> np.ndarray:
        """Triangles of skin, sockets, gums, teeth and eyeballs (no lashes, no tear film)."""
        return self.faces[(self.faces < EYES[1][1]).all(1)]

    def shaped(self, coefficients: np.ndarray) -> np.ndarray:
        """(V, 3) metres for identity ``coefficients`` (up to 100, in standard deviations)."""
        return self.neutral + np.tensordot(coefficients, self.identity[: len(coefficients)].astype(np.float64), 1)


@lru_cache(maxsize=1)
def load_ict() -> IctModel:
    """Load the model from ``faces3d/ict_facekit.npz``; raises ``FileNotFoundError`` where it is missing."""
    with np.load(shared_folder() / "faces3d" / "ict_facekit.npz") as data:
        return IctModel(
            data["neutral"].astype(np.float64) * CENTIMETRE,
            triangles_from_quads(data["faces"]),
            data["identity"].astype(np.float32) * CENTIMETRE,
        )


def read_simulated(number: int) -> TriangleMesh:
    """One face of the simulated population in metres, in its own frame; raises ``FileNotFoundError`` without it."""
    mesh = read_obj(shared_folder() / "faces3d" / "simulated_population" / f"SIMPOP_{number:02d}.obj")
    return TriangleMesh(mesh.vertices * MILLIMETRE, mesh.faces)


def fit_to_scan(
    scan: TriangleMesh, indices: tuple[int, ...], landmarks: np.ndarray, iterations: int = laying.ITERATIONS
) -> laying.ModelFit:
    """Fit the template's most probable head, up to a free similarity, to a scan of a face (metres, any frame).

    indices, landmarks : some of MediaPipe's 478 landmarks and their positions on the scan, (L, 3).
    """
    template = load_template()
    topology, head = laying.head_topology(template), template.head.vertex_stop
    # the smooth surface at the cage's vertices is enough for fitting
    return laying.fit_model(
        template.vertices[:head].astype(np.float64), template.identity_modes[:, :head].astype(np.float64),
        topology.matrix[:head], topology.triangles, topology.skin_weights(face=1.0), scan,
        laying.landmark_rows(template.landmarks478, indices, head), landmarks,
        landmark_noise=laying.LANDMARK_NOISE, iterations=iterations,
    )  # fmt: skip


def fit_by_detection(scan: TriangleMesh, iterations: int = laying.ITERATIONS) -> laying.ModelFit:
    """``fit_to_scan`` with landmarks detected on clay renderings; raises ``ValueError`` where no face is seen."""
    marks = find_surface_landmarks(scan.vertices, scan.triangles, scan.vertices.mean(0))
    usable = tuple(index for index in laying.STEADY if marks.found[index])
    return fit_to_scan(scan, usable, marks.positions[list(usable)], iterations)


def pooled(coefficients: np.ndarray, share: float = SECOND_SHARE) -> tuple[np.ndarray, np.ndarray]:
    """Mean (K,) and covariance (K, K) of a mixture of two populations: one with independent unit-variance coefficients
    around 0, and one, with the share ``share``, with sample coefficients (P, K)."""
    count = coefficients.shape[1]
    mean = coefficients.mean(0)
    own = _SAMPLE * np.cov(coefficients.T, bias=True) + (1 - _SAMPLE) * np.eye(count)
    covariance = (1 - share) * np.eye(count) + share * own + share * (1 - share) * np.outer(mean, mean)
    return share * mean, covariance


@dataclass(frozen=True)
class Carrier:
    """From meshes of another topology, as they are, to the template's cage; smooth where the mesh has no match.

    Attributes
    ----------
    mesh : (V, 3) of the mesh it was made of. unit : metres of one of its units. rotation, translation : from the
    head's frame to the mesh's, metres. cage : (H, 3) the template's head, laid on it. corners : (P, 3) the mesh's
    vertices, and weights : (P, 3) barycentrics, of each level-1 point's match. confidence : (P,) square metres, 0
    without a match.
    """

    mesh: np.ndarray
    unit: float
    rotation: np.ndarray
    translation: np.ndarray
    head: laying.HeadTopology
    cage: np.ndarray
    corners: np.ndarray
    weights: np.ndarray
    confidence: np.ndarray

    def whole(self, vertices: np.ndarray) -> np.ndarray:
        """(V_template, 3) metres in the head's frame from a mesh (V, 3)."""
        template, cage = load_template(), self.cage + self.carry((vertices - self.mesh)[None])[0]
        return template.vertices + template.following_skin(cage - template.vertices[: len(cage)])

    def offsets(self, modes: np.ndarray) -> np.ndarray:
        """(K, V_template, 3) metres in the head's frame from offsets (K, V, 3) of the mesh's vertices."""
        return load_template().following_skin(self.carry(modes))

    def carry(self, offsets: np.ndarray, smoothing: float = 0.003) -> np.ndarray:
        """(N, H, 3) head offsets from the mesh's (N, V, 3); details below ``smoothing`` metres fade."""
        wanted = np.stack([np.einsum("pc,pck->pk", self.weights, one[self.corners]) for one in offsets])
        wanted = self.unit * wanted @ self.rotation
        matrix, regions = self.head.matrix, self.head.regions
        scale = smoothing * (1.0 + regions["ears"] + 2 * regions["eye_sockets"] + 2 * regions["mouth_interior"])
        cage = surface_operators(self.cage, self.head.triangles, _LEAST_COTANGENT)
        laplacian = cage.stiffness.tocsr()
        plate = sp.diags(scale**2) @ laplacian
        system = plate.T @ sp.diags(1.0 / np.maximum(cage.mass, 1e-8)) @ plate
        system = system + matrix.T @ sp.diags(self.confidence) @ matrix
        # pockets without a match (nostrils, mouth, sockets) follow their rim instead of extrapolating its slope
        areas = surface_operators(matrix @ self.cage, self.head.fine_triangles).mass
        pocket = np.sqrt(np.clip(1.0 - 2.0 * (matrix.T @ self.confidence) / (matrix.T @ areas), 0.0, 1.0))
        springs = sp.diags(pocket) @ (sp.diags(laplacian.diagonal()) - laplacian) @ sp.diags(pocket)
        system = system + POCKET_STIFFNESS**2 * (sp.diags(np.asarray(springs.sum(1)).ravel()) - springs)
        right = matrix.T @ (self.confidence[:, None] * wanted.transpose(1, 0, 2).reshape(len(matrix.indptr) - 1, -1))
        solution = sp.linalg.splu((system + 1e-13 * sp.identity(len(self.cage))).tocsc()).solve(right)
        return solution.reshape(len(self.cage), len(offsets), 3).transpose(1, 0, 2)


def carrier_of(mesh: TriangleMesh) -> Carrier:
    """Lay the template's head on a head or a face in any topology and unit that looks along z: the most probable head
    by closest points, then a smooth field. Raises ``ValueError`` where no face is seen on it."""
    template = load_template()
    unit = 10.0 ** -np.round(np.log10(np.ptp(mesh.vertices[:, 1]) / _TALL))
    away = mesh.vertices - mesh.vertices.mean(0)
    outward = (area_vectors(mesh.vertices, mesh.triangles) * away[mesh.triangles[:, 0]]).sum()
    scan = TriangleMesh(unit * mesh.vertices, mesh.triangles if outward > 0 else mesh.triangles[:, ::-1])
    topology, fit = laying.head_topology(template), fit_by_detection(scan)
    middle = ((fit.cage - fit.translation) @ fit.rotation / fit.scale).mean(0)  # stays: the size is the mesh's own
    origin = fit.translation + (fit.scale - 1) * fit.rotation @ middle
    upright = TriangleMesh((scan.vertices - origin) @ fit.rotation, scan.triangles)
    skin = topology.matrix @ topology.skin_weights(face=1.0, ears=1.0, scalp=1.0, neck=1.0)
    cage = laying.laid_cage((fit.cage - origin) @ fit.rotation, topology, skin, upright)
    points = topology.matrix @ cage
    triangle, weights, distance = upright.closest(points)
    corners = upright.triangles[triangle]
    normal = (upright.normals[corners] * weights[..., None]).sum(1)
    facing = (vertex_normals(points, topology.fine_triangles) * normal).sum(1)
    near = np.clip(2 - distance / 0.003, 0, 1) * ~upright.border[corners].any(1)
    trust = np.clip((facing - 0.3) / 0.4, 0, 1) * near * skin
    areas = surface_operators(points, topology.fine_triangles).mass
    return Carrier(mesh.vertices, float(unit), fit.rotation, origin, topology, cage, corners, weights, trust * areas)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``identity-population``."""
    parser.add_argument("--out", type=Path, default=POPULATION_PATH, help="file to write (default: the shipped one)")
    parser.add_argument("--limit", type=int, metavar="N", help="only N of the simulated faces, at least 2")
    parser.add_argument(
        "--iterations",
        type=int,
        default=laying.ITERATIONS,
        metavar="N",
        help=f"of each face's fit (default: {laying.ITERATIONS})",
    )


def run(arguments: argparse.Namespace) -> int:
    """Compute the pooled statistics and write them; needs ``../shared/faces3d``."""
    if arguments.limit is not None and arguments.limit < 2:
        raise LikenessError("usage", f"{arguments.limit} faces have no spread.", "Give --limit 2 or more.")
    if arguments.iterations < 1:
        raise LikenessError("usage", "A fit without iterations finds nothing.", "Give --iterations 1 or more.")
    chosen = TRAINING_SIMPOP[: arguments.limit]
    fits = [fit_by_detection(read_simulated(number), arguments.iterations) for number in chosen]
    mean, covariance = pooled(np.stack([fit.coefficients for fit in fits]))
    arrays = {"mean": mean.astype(np.float32), "covariance": covariance.astype(np.float32)}
    write_arrays(arguments.out, arrays, {"template": template_fingerprint()})
    return 0
