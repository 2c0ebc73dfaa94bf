"""Start of the learned face model: bases from synthetic people's shapes and reflectance, a trained model's identity
refitted, and the encoder's input with the detector's simulated errors.
"""

from dataclasses import replace
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn

from backend.fitting.detector_model import load_detector_model, turn_of, view_features
from backend.geometry.deformation_graph import DeformationGraph, deformation_graph
from backend.geometry.subdivision import refined
from backend.geometry.template import load_template, mirrored, triangles_from_quads
from backend.geometry.vectors import vertex_normals
from backend.models.learned_basis.network import LANDMARKS, MIDDLE, MILLIMETRE, FaceBases, FaceCode, LearnedBasisNet
from backend.photos.collection import FaceClass
from backend.photos.regions import FACE_OVAL
from backend.rendering.camera import PerspectiveCameras, project
from backend.rendering.color import linear_from_srgb
from backend.rendering.interpolate import fragment_barycentrics, fragment_values, fragments, sample_points
from backend.rendering.rasterize import face_ids
from backend.rig.measure import face_loops
from trainer.methods.landmarks.data import face_scales
from trainer.methods.lap.data import class_mask
from trainer.methods.learned_basis.data import FaceBatch, FaceTruth
from trainer.methods.learned_basis.losses import LipGrid
from trainer.people.shape import IdentityShapes, draw_expression, draw_identity, people_surface

REFLECTANCE_CLASSES = (FaceClass.SKIN, FaceClass.BROWS, FaceClass.LIPS, FaceClass.FACIAL_HAIR)
"""Classes whose colours count as skin reflectance."""
_EYE_REFLECTANCE = 0.45
_FACING = 0.35
_DRAWS = 2000
_RIDGE = 1e-6
_SHAPE_SEED = 11
ALONG_SHARE = 0.02
"""Weight of squared motion along the skin, relative to motion along its normal: sliding hardly changes the surface.
Errors of four simulated faces that no reported figure uses, fitted as in ``basis_heads``: 0.1559 mm; 0.1569 with
people's bumps at half size; then, weighted by area instead of by vertex, 0.1628 and 0.1661 with shares of 0.1 and 0.3.
The prior's first 80 modes: 0.1596."""


def principal(vectors: np.ndarray, metric: np.ndarray, count: int) -> np.ndarray:
    """(count, G, 3) principal directions of sums of vectors (K, G, 3) with independent unit-variance coefficients.

    ``metric`` defines lengths: U^T U (G, G), or (3 G, 3 G) if it depends on the direction. The coefficients of the
    result are independent with unit variance too; rows beyond the rank are zero.
    """
    flat = vectors.reshape(len(vectors), -1).astype(np.float64)
    if metric.shape[0] == flat.shape[1]:
        weighted = flat @ metric
    else:
        weighted = np.einsum("gh,khc->kgc", metric, vectors.astype(np.float64)).reshape(len(vectors), -1)
    values, turns = np.linalg.eigh(weighted @ flat.T)
    order = np.argsort(values)[::-1][: min(count, int((values > 1e-9 * values.max()).sum()))]
    result = np.zeros((count, *vectors.shape[1:]), np.float32)
    result[: len(order)] = (turns[:, order].T @ flat).reshape(len(order), *vectors.shape[1:])
    return result


@lru_cache(maxsize=2)
def surface_metric(nodes: int) -> np.ndarray:
    """(3 G, 3 G) float64 metric of node offsets: the mean squared motion of the surface's vertices, weighted towards
    the face. Vertices are densest where detail is. Motion along the skin counts ``ALONG_SHARE``."""
    template, graph = load_template(), deformation_graph(nodes)
    head = template.head.vertex_stop
    normals = vertex_normals(template.vertices[:head].astype(np.float64), triangles_from_quads(_head_quads()))
    weight = 0.02 + template.regions["face"][:head]
    each = (1 - ALONG_SHARE) * normals[:, :, None] * normals[:, None] + ALONG_SHARE * np.eye(3)
    each *= (weight / weight.sum())[:, None, None]
    reach = graph.weights.astype(np.float64)
    blocks = [[reach.T @ (each[:, a, b, None] * reach) for b in range(3)] for a in range(3)]
    return np.stack([np.stack(row, -1) for row in blocks], 1).reshape(3 * len(graph.nodes), -1)


def usual_expressions(seed: int = 0) -> np.ndarray:
    """(52, 52) lower triangular L: weights L z with independent unit z have synthetic people's second moments."""
    generator = np.random.default_rng(seed)
    weights = np.stack([draw_expression(generator).weights for _ in range(_DRAWS)]).astype(np.float64)
    return np.linalg.cholesky(weights.T @ weights / _DRAWS + 1e-4 * np.eye(weights.shape[1]))


@torch.no_grad()
def begin_from_people(bases: FaceBases, count: int) -> None:
    """Initialise both bases: identity with the principal directions of ``count`` synthetic people in
    ``surface_metric``, expression with those of the template's 52 expressions.

    People and their mirror images count equally. The evaluation draws its people with other seeds.
    """
    template = load_template()
    head = template.head.vertex_stop
    _begin_identity(bases, count)
    offsets = np.tensordot(usual_expressions().T, template.expressions[:, :head], 1)
    _begin(bases, bases.expression, offsets, bases.surface.metric().numpy())


@torch.no_grad()
def refit_identity(network: LearnedBasisNet, count: int) -> None:
    """Give a trained model the identity basis of ``begin_from_people`` without retraining. The encoder's last layer is
    transformed by least squares over the vertices, so that its faces stay as close as the new basis permits."""
    bases, head = network.bases, network.encoder.identity
    graph = deformation_graph(bases.config.nodes)
    before = bases.identity().cpu().double().flatten(1).numpy()
    _begin_identity(bases, count)
    after = bases.identity().cpu().double().flatten(1).numpy()
    metric = np.kron(_vertex_metric(graph), np.eye(3))
    system = after @ metric @ after.T
    system += _RIDGE * np.trace(system) / len(system) * np.eye(len(system))
    carried = torch.from_numpy(np.linalg.solve(system, after @ metric @ before.T)).to(head.weight)  # (new, old)
    head.weight.copy_(carried @ head.weight)
    head.bias.copy_(carried @ head.bias)


def _begin_identity(bases: FaceBases, count: int) -> None:
    """Set the identity basis of synthetic people; see ``begin_from_people``. The modes are known analytically; what
    shapes have beyond the modes is sampled from ``count`` people."""
    template = load_template()
    generator = np.random.default_rng(_SHAPE_SEED)
    drawn = [draw_identity(generator, len(template.identity_modes)) for _ in range(count)]
    deviation = np.stack([one.coefficients for one in drawn]).std()
    plain = [replace(one, coefficients=np.zeros_like(one.coefficients)) for one in drawn]
    head = template.head.vertex_stop
    shapes = IdentityShapes(people_surface(torch.device("cpu"))).neutral(plain).numpy()
    beyond = shapes[:, :head] - template.vertices[:head]
    beyond = np.concatenate([beyond, mirrored(beyond, template.mirror[:head])]) / (2 * count) ** 0.5
    offsets = np.concatenate([deviation * template.identity_modes[:, :head], beyond])
    _begin(bases, bases.identity_raw, offsets, surface_metric(bases.config.nodes))


def _begin(bases: FaceBases, parameter: torch.nn.Parameter, offsets: np.ndarray, metric: np.ndarray) -> None:
    """Set a basis to the principal directions of cage offsets (K, V, 3), metres, with independent unit coefficients."""
    nodes = deformation_graph(bases.config.nodes).fitted(offsets, _importance()) / MILLIMETRE
    parameter.copy_(torch.from_numpy(principal(nodes, metric, len(parameter))))


def _importance() -> np.ndarray:
    """(V_head,) weights of vertices when vertex offsets are fitted on the graph."""
    template = load_template()
    return 0.05 + template.regions["face"][: template.head.vertex_stop].astype(np.float64)


def _vertex_metric(graph: DeformationGraph) -> np.ndarray:
    """(G, G) float64 U^T diag(importance) U of the cage: weighted squared motion of vertices in any direction."""
    reach = graph.weights.astype(np.float64)
    return reach.T @ (_importance()[:, None] * reach)


def visible_reflectance(batch: FaceBatch) -> tuple[Tensor, Tensor]:
    """Linear reflectance (G, C, 3) at the cage's vertices, averaged over the photos of each person, and known (G, C).

    Raises ``ValueError`` for a batch without truth.
    """
    truth = batch.truth
    if truth is None:
        raise ValueError("a first reflectance basis needs people with truth in the source")
    count, size = len(truth.vertices), truth.albedo.shape[-1]
    pixels = _projected(truth)
    skin = class_mask(batch.labels[:count], REFLECTANCE_CLASSES).float()
    pictures = torch.cat([linear_from_srgb(truth.albedo), skin[:, None]], 1)
    grid = pixels[..., :2] * (2 / size) - 1
    sampled = sample_points(pictures, grid, "zeros")
    faces = torch.from_numpy(triangles_from_quads(_head_quads())).to(pixels.device)
    normals = vertex_normals(truth.vertices, faces)
    turn, move = truth.camera_from_head[:, :3, :3], truth.camera_from_head[:, :3, 3:]
    towards = -(turn.transpose(1, 2) @ move).transpose(1, 2) - truth.vertices
    facing = torch.nn.functional.cosine_similarity(normals, towards, dim=-1)
    weight = (sampled[..., 3] > 0.99) * facing.clamp(min=0) * (facing > _FACING)  # (n, C)
    set_of = batch.set_of[:count]
    people = int(set_of[-1]) + 1
    total = pixels.new_zeros(people, pixels.shape[1], 4)
    total.index_add_(0, set_of, torch.cat([sampled[..., :3] * weight[..., None], weight[..., None]], -1))
    return total[..., :3] / total[..., 3:].clamp(min=1e-6), total[..., 3] > 0


@torch.no_grad()
def begin_reflectance(bases: FaceBases, batches: list[FaceBatch], with_basis: bool) -> None:
    """Set the mean reflectance, and the basis if ``with_basis``, from people with truth.

    Vertices that no photo of a person shows are filled from the mirrored side, else from the mean over people. The
    basis holds the principal components, each scaled to one standard deviation.
    """
    template = load_template()
    mirror = torch.from_numpy(template.mirror[: template.head.vertex_stop].astype(np.int64))
    pairs = [visible_reflectance(batch) for batch in batches]
    values = torch.cat([values for values, _ in pairs]).cpu()
    known = torch.cat([known for _, known in pairs]).cpu()
    values = torch.where(known[..., None], values, values[:, mirror])
    known = known | known[:, mirror]
    number = known.sum(0)[:, None]
    everywhere = (values * known[..., None]).sum((0, 1)) / known.sum().clamp(min=1)
    mean = ((values * known[..., None]).sum(0) + 0.5 * everywhere) / (number + 0.5)  # (C, 3)
    mean = 0.5 * (mean + mean[mirror])
    left = torch.where(known[..., None], values - mean, 0.0)
    components = _components(torch.cat([left, left[:, mirror]]), len(bases.reflectance)) if with_basis else None
    fields = [mean] if components is None else [mean, *components]
    matrix, _ = refined(_head_quads(), template.head.vertex_stop, bases.config.level)
    fine = torch.from_numpy(matrix.astype(np.float32) @ torch.cat(fields, 1).numpy())
    skin = bases.surface.skin
    device = bases.reflectance.device
    bases.reflectance_mean[:skin] = fine[:, :3].to(device)
    bases.reflectance_mean[skin:] = _EYE_REFLECTANCE
    if components is not None:
        spread = torch.zeros(len(bases.reflectance), len(bases.reflectance_mean), 3)
        spread[: len(components), :skin] = fine[:, 3:].view(skin, -1, 3).transpose(0, 1)
        bases.reflectance.copy_(spread[:, bases.covered.cpu()].to(device))


def _components(samples: Tensor, count: int) -> Tensor:
    """(count or fewer, C, 3) principal components of samples (P, C, 3) about zero, each of one standard deviation."""
    flat = samples.flatten(1)
    values, turns = torch.linalg.eigh((flat @ flat.T).double() / len(flat))
    order = values.argsort(descending=True)[: min(count, len(flat) // 2)]
    directions = (turns[:, order].T.float() @ flat) / len(flat) ** 0.5
    return directions.view(-1, *samples.shape[1:])


def _head_quads() -> np.ndarray:
    template = load_template()
    return template.quads[template.head.face_start : template.head.face_stop].astype(np.int64)


def _projected(truth: FaceTruth) -> Tensor:
    """(n, C, 3) projections of the true surface into the photos."""
    pose = truth.camera_from_head
    return project(truth.vertices @ pose[:, :3, :3].transpose(1, 2) + pose[:, None, :3, 3], truth.intrinsics)


_RENDERED_FACING = 0.05


class FaceMarks(nn.Module):
    """Landmarks and outline rows of the template on the surface's cage vertices."""

    def __init__(self) -> None:
        super().__init__()
        template = load_template()
        marks = template.landmarks478
        rows = template.contour_rows
        outline = np.array(FACE_OVAL)
        positions = marks.positions(template.vertices)[outline]  # (O, 3)
        points = np.where(rows[..., None] >= 0, template.vertices[np.maximum(rows, 0)], np.inf)  # (R, C, 3)
        distance = np.linalg.norm(points[None] - positions[:, None, None], axis=-1)  # (O, R, C)
        row = distance.min(-1).argmin(1)
        resting = distance[np.arange(len(outline)), row].argmin(1)
        candidates = rows[row]  # (O, C)
        beyond = (np.arange(candidates.shape[1]) > resting[:, None]) | (candidates < 0)
        for name, value in {
            "vertices": marks.vertices[:LANDMARKS].astype(np.int64),
            "weights": marks.barycentrics[:LANDMARKS].astype(np.float32),
            "outline": outline.astype(np.int64),
            "row": np.maximum(candidates, 0).astype(np.int64),
            "beyond": beyond,
        }.items():
            self.register_buffer(name, torch.from_numpy(value), persistent=False)

    def points(self, vertices: Tensor) -> Tensor:
        """(N, 468, 3) landmarks on vertices (N, V, 3), of which the first are the cage's."""
        return (vertices[:, self.vertices] * self.weights[..., None]).sum(2)

    def slid(self, vertices: Tensor, normals: Tensor, cameras: PerspectiveCameras, slides: Tensor) -> Tensor:
        """As ``points``, but where ``slides`` (N,) the outline landmarks slide to the silhouette.

        Each landmark has a row of vertices that runs outwards over the cheek. It slides to the last vertex before the
        first that faces away from the camera, and never beyond its own place. normals : (N, V, 3).
        """
        marks = self.points(vertices)
        with torch.no_grad():
            centre = cameras.centres()[:, None]
            on_row = vertices[:, self.row]  # (N, O, C, 3)
            facing = (normals[:, self.row] * (centre[:, :, None] - on_row)).sum(-1)
            facing = facing / (centre[:, :, None] - on_row).norm(dim=-1)
            open_so_far = ((facing > _RENDERED_FACING) & ~self.beyond).cumprod(-1)  # (N, O, C)
            last = (open_so_far.sum(-1) - 1).clamp(min=0)
            stops = ((facing <= _RENDERED_FACING) & ~self.beyond).any(
                -1
            )  # (N, O) faces away before the landmark's own place
            vertex = self.row.expand(len(marks), -1, -1).gather(2, last[..., None])[..., 0]
        moved = vertices.gather(1, vertex[..., None].expand(-1, -1, 3))
        chosen = (stops & slides[:, None])[..., None]
        outline = torch.where(chosen, moved, marks[:, self.outline])
        return marks.index_copy(1, self.outline, outline)


def lip_grid() -> LipGrid:
    """Grid of the lips on the cage: columns from corner to corner, and the row at which each column leaves the lip."""
    template = load_template()
    mouth = face_loops(template).mouth
    region = template.regions["lips"]
    grids, borders = [], []
    for columns in (mouth.upper, mouth.lower):
        rows = mouth.rows[:, np.r_[mouth.right, columns, mouth.left]]  # (R, C)
        inside = region[rows]
        border = np.empty(rows.shape[1], np.float32)
        for column, values in enumerate(inside.T):
            last = int(np.flatnonzero(values > 0.5).max(initial=mouth.contact))
            after = values[min(last + 1, len(values) - 1)]
            border[column] = last + np.clip((values[last] - 0.5) / max(values[last] - after, 1e-3), 0, 1)
        first = int(np.flatnonzero((inside > 0.5).any(1)).min())  # rows farther inside belong to the mouth's pocket
        grids.append(torch.from_numpy(rows[first:].astype(np.int64)))
        borders.append(torch.from_numpy(np.minimum(border, len(rows) - 1) - first))
    return LipGrid(*grids, *borders)


def lip_pictures(bases: FaceBases, pixels: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Masks (N, S, S) bool of the visible upper and lower lip."""
    surface = bases.surface
    regions = torch.stack([surface.lip_upper, surface.lip_lower], -1).to(pixels)[None]
    raster = fragments(face_ids(pixels, bases.faces, (size, size), cull_backfaces=True), bases.faces)
    drawn = raster.scatter(fragment_values(regions, raster, fragment_barycentrics(pixels, raster))) > 0.5
    return drawn[..., 0], drawn[..., 1]


class DetectorErrors(nn.Module):
    """Draw errors of the landmark detector from the measured model in ``backend.fitting.detector_model``."""

    def __init__(self) -> None:
        super().__init__()
        model = load_detector_model()
        for name, value in {
            "bias": model.bias[:, :LANDMARKS],
            "modes": model.modes[:, :LANDMARKS],
            "deviation": model.deviation[:LANDMARKS],
        }.items():
            self.register_buffer(name, torch.from_numpy(value.astype(np.float32)), persistent=False)

    def detected(self, batch: FaceBatch, generator: torch.Generator | None = None) -> Tensor:
        """(N, LANDMARKS, 2) landmarks in sides of the picture. The true landmarks of synthetic people get errors; the
        detected landmarks of real photos stay as they are."""
        landmarks, side = batch.landmarks, batch.images.shape[-1]
        if batch.truth is not None:
            count = len(batch.truth.vertices)
            landmarks = torch.cat([self._disturbed(landmarks[:count], batch.truth, generator), landmarks[count:]])
        return landmarks / side

    def _disturbed(self, landmarks: Tensor, truth: FaceTruth, generator: torch.Generator | None) -> Tensor:
        device = landmarks.device
        features, upright = _views(truth)  # (n, 8), (n, 2, 2)
        bias = torch.einsum("nf,flc->nlc", features.to(device), self.bias)
        shares = torch.randn(len(landmarks), len(self.modes), generator=generator).to(device)
        alone = torch.randn(landmarks.shape, generator=generator).to(device) * self.deviation[:, None]
        percent = bias + torch.einsum("nm,mlc->nlc", shares, self.modes) + alone
        return landmarks + face_scales(landmarks)[:, None, None] / 100 * percent @ upright.to(device).transpose(1, 2)


def _views(truth: FaceTruth) -> tuple[Tensor, Tensor]:
    """Features of the views (n, 8) and the heads' upright axes in the pictures (n, 2, 2)."""
    features, axes = [], []
    for pose in truth.camera_from_head.cpu().double().numpy():
        towards = -pose[:3, :3].T @ pose[:3, 3] - MIDDLE
        yaw, pitch, upright = turn_of(pose[:3, :3], towards)
        features.append(view_features(yaw, pitch, float(np.linalg.norm(towards))))
        axes.append(upright)
    return torch.from_numpy(np.stack(features)).float(), torch.from_numpy(np.stack(axes)).float()


def encode(
    network: LearnedBasisNet, batch: FaceBatch, errors: DetectorErrors, generator: torch.Generator | None
) -> FaceCode:
    """Codes of all photos of a batch. ``generator`` (CPU) draws the detector's errors; None: torch's global one."""
    return network.lit(_predicted(network, batch, errors, generator), batch.images * 2 - 1)


def _predicted(
    network: LearnedBasisNet, batch: FaceBatch, errors: DetectorErrors, generator: torch.Generator | None
) -> FaceCode:
    landmarks = errors.detected(batch, generator) if network.config.landmark_components else None
    return network.encoder(batch.images * 2 - 1, batch.set_of, landmarks)


def encode_again(network: LearnedBasisNet, batch: FaceBatch) -> FaceCode:
    """``encode`` with the same errors at every call, for figures and pictures."""
    errors = DetectorErrors().to(batch.images.device)
    code = _predicted(network, batch, errors, torch.Generator().manual_seed(len(batch.images)))
    return network.lit(code, batch.images * 2 - 1)
