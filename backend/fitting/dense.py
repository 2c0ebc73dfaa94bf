"""Dense correspondence between photos, as targets for the fit.

The second photo of a pair is warped through the mesh into the first's view; the optical flow between this prediction
and the photo measures the mesh's error. Both are locally normalised, so that light and exposure matter little. A
match, from one flow between the photos themselves, depends on neither mesh nor poses, so that a later estimate uses it
again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
import torch

from backend.fitting.options import DenseStage
from backend.fitting.parameters import PhotoParameters, SurfacePoints, points_at_vertices, project_with_derivatives
from backend.fitting.solver import PointTargets
from backend.geometry.template import Template, triangles_from_quads
from backend.geometry.vectors import vertex_normals
from backend.photos.collection import FaceClass, PhotoFace, class_mask
from backend.rendering.camera import Camera
from backend.rendering.interpolate import fragment_barycentrics, fragments, sample_image
from backend.rendering.rasterize import face_ids
from backend.system.parallel import each

DENSE_POINTS = 1400
USABLE_CLASSES = (FaceClass.SKIN, FaceClass.BROWS, FaceClass.LIPS, FaceClass.EYES)
SMALLEST_COSINE = 0.25
"""Least cosine between normal and view direction at which a surface has usable texture."""
BORDER = 12
"""Margin around the face, in working pixels."""
LOWEST_CORRELATION = 0.7
"""Local correlation of prediction and photo (after the flow) below which a flow vector is not used. A flow finds a
match everywhere: where light and gloss differ, pairs of photos reach 0.6 to 0.75 with false flows of several pixels;
photos that show the same skin reach 0.8 to 0.9. Felt by ``evaluate foreign`` and ``scans``."""


@dataclass(frozen=True)
class DenseMesh:
    """The part of the mesh that is aligned densely.

    Attributes
    ----------
    triangles : (T, 3) into the full vertex array: the face's skin, no mouth interior.
    vertices : (M,) vertex ids that get targets; points : their ``SurfacePoints``.
    """

    triangles: np.ndarray
    vertices: np.ndarray
    points: SurfacePoints


def dense_mesh(template: Template) -> DenseMesh:
    """The face's skin without the mouth's inside, and every n-th of its vertices, at least ``DENSE_POINTS`` (2,043 in
    the committed template)."""
    head = template.head
    triangles = triangles_from_quads(template.quads[head.face_start : head.face_stop])
    face, interior = template.regions["face"], template.regions["mouth_interior"]
    usable = (face > 0.3) & (interior < 0.3)
    triangles = triangles[usable[triangles].all(-1)]
    candidates = np.unique(triangles)
    candidates = candidates[face[candidates] > 0.5]
    vertices = candidates[:: max(len(candidates) // DENSE_POINTS, 1)]
    return DenseMesh(triangles.astype(np.int64), vertices, points_at_vertices(template, vertices))


@dataclass(frozen=True)
class View:
    """One photo at working resolution, with the mesh projected and rasterised into it."""

    factor: float  # working pixels per crop pixel
    corner: np.ndarray  # (2,) upper left corner of this window, in working pixels
    normalised: np.ndarray  # (H, W) float32, locally normalised luminance
    usable: np.ndarray  # (H, W) float32 mask
    pixels: np.ndarray  # (V, 3) projected vertices and depth
    cosine: np.ndarray  # (V,) between normal and direction to the camera
    covered: np.ndarray  # (P,) flat pixel index
    corners: np.ndarray  # (P, 3) vertex ids
    barycentrics: np.ndarray  # (P, 3)
    depth: np.ndarray  # (H, W), inf where empty
    direction: np.ndarray  # (3,) unit vector from the head to the camera

    def shows(self, vertices: np.ndarray) -> np.ndarray:
        """(M,) bool: which of the vertices (M,) face the camera unoccluded."""
        pixels = self.pixels[vertices]
        nearest = sample_image(np.where(np.isfinite(self.depth), self.depth, 1e3), pixels[:, :2], outside=1e3)
        return (self.cosine[vertices] > SMALLEST_COSINE) & (pixels[:, 2] < nearest + 0.004)

    def in_crop(self, vertices: np.ndarray) -> np.ndarray:
        """(M, 2) projections of vertices (M,), in crop pixels."""
        return (self.pixels[vertices, :2] + self.corner) / self.factor


def locally_normalised(pixels: np.ndarray, radius: float) -> np.ndarray:
    """Luminance (H, W) float32 with local mean 0 and about unit contrast, from (H, W, 3) uint8 sRGB."""
    luminance = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
    detail = luminance - cv2.GaussianBlur(luminance, (0, 0), radius)
    contrast = np.sqrt(cv2.GaussianBlur(detail**2, (0, 0), 2.0 * radius))
    return detail / (contrast + 4.0)


def view_of(
    face: PhotoFace, camera: Camera, vertices: np.ndarray, scale_px: float, mesh: DenseMesh, width: float
) -> View:
    """The photo reduced so that a face of ``scale_px`` pixels is at most ``width`` wide, cropped to the mesh.

    vertices : (V, 3) posed, metres, head frame. camera : of the photo in ``face.pixels``.
    """
    factor = min(width / scale_px, 1.0)
    camera = camera.scaled(factor)
    pixels = camera.project(vertices)
    on_face = pixels[mesh.vertices, :2]
    low = np.clip(np.floor(on_face.min(0)).astype(int) - BORDER, 0, None)
    high = np.minimum(np.ceil(on_face.max(0)).astype(int) + BORDER, camera.size)
    window = slice(low[1], max(high[1], low[1] + 2)), slice(low[0], max(high[0], low[0] + 2))
    small = cv2.resize(face.pixels, camera.size, interpolation=cv2.INTER_AREA)[window]
    usable = cv2.resize(class_mask(face.labels, USABLE_CLASSES), camera.size, interpolation=cv2.INTER_AREA)[window]
    rows, columns = small.shape[:2]
    pixels[:, :2] -= low
    ids = face_ids(torch.from_numpy(pixels[None].astype(np.float32)), torch.from_numpy(mesh.triangles), (rows, columns))
    found = fragments(ids, torch.from_numpy(mesh.triangles))
    barycentrics = fragment_barycentrics(torch.from_numpy(pixels[None]), found).numpy()
    covered, corners = found.pixel.numpy(), found.corners.numpy()
    depth = np.full(rows * columns, np.inf, dtype=np.float32)
    depth[covered] = (pixels[corners, 2] * barycentrics).sum(-1)
    normals = vertex_normals(vertices, mesh.triangles)
    towards = camera.centre() - vertices
    towards /= np.linalg.norm(towards, axis=-1, keepdims=True)
    direction = camera.centre() - vertices[mesh.vertices].mean(0)
    return View(
        factor,
        low,
        locally_normalised(small, width / 24.0),
        usable.astype(np.float32) / 255.0,
        pixels,
        (normals * towards).sum(-1),
        covered,
        corners,
        barycentrics,
        depth.reshape(rows, columns),
        direction / np.linalg.norm(direction),
    )


def _predicted(target: View, source: View) -> tuple[np.ndarray, np.ndarray]:
    """The source photo warped over the mesh into the target's view: picture and confidence, both (H, W)."""
    shape = target.normalised.shape
    values = np.column_stack([source.pixels, source.cosine, target.cosine])
    mixed = sum(values[target.corners[:, k]] * target.barycentrics[:, k : k + 1] for k in range(3))  # (P, 5)
    in_source, cosine = mixed[:, :3], np.minimum(mixed[:, 3], mixed[:, 4])
    places = in_source[:, :2]
    nearest = sample_image(np.where(np.isfinite(source.depth), source.depth, 1e3), places, outside=1e3)
    visible = in_source[:, 2] < nearest + 0.004
    confidence = np.clip((cosine - SMALLEST_COSINE) / 0.35, 0.0, 1.0) * visible
    confidence *= sample_image(source.usable, places, outside=0.0)
    picture, weight = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    picture.reshape(-1)[target.covered] = sample_image(source.normalised, places, outside=0.0)
    weight.reshape(-1)[target.covered] = confidence
    return picture, weight * target.usable


def _to_bytes(picture: np.ndarray) -> np.ndarray:
    return np.clip(128.0 + 45.0 * picture, 0, 255).astype(np.uint8)


def _local_correlation(first: np.ndarray, second: np.ndarray, weight: np.ndarray, radius: float) -> np.ndarray:
    """Weighted zero-mean correlation (H, W) in a Gaussian window."""

    def mean(values: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(values * weight, (0, 0), radius) / norm

    norm = cv2.GaussianBlur(weight, (0, 0), radius) + 1e-4
    mean_first, mean_second = mean(first), mean(second)
    covariance = mean(first * second) - mean_first * mean_second
    variance = (mean(first**2) - mean_first**2) * (mean(second**2) - mean_second**2)
    return covariance / np.sqrt(np.maximum(variance, 1e-3))


def pair_flow(target: View, source: View, width: float) -> tuple[np.ndarray, np.ndarray]:
    """Flow (H, W, 2) from the source's prediction to the target photo, and its confidence (H, W)."""
    predicted, weight = _predicted(target, source)
    shown = target.normalised
    # Outside the prediction both pictures are made equal, so that its border causes no flow.
    soft = cv2.GaussianBlur(weight, (0, 0), 1.5)
    filled = predicted * soft + shown * (1.0 - soft)
    solver = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    solver.setFinestScale(0)
    flow = solver.calc(_to_bytes(filled), _to_bytes(shown), None)
    rows, columns = shown.shape
    grid_x, grid_y = np.meshgrid(np.arange(columns, dtype=np.float32), np.arange(rows, dtype=np.float32))
    moved = cv2.remap(shown, grid_x + flow[..., 0], grid_y + flow[..., 1], cv2.INTER_LINEAR)
    correlation = _local_correlation(predicted, moved, weight, width / 20.0)
    confidence = weight * np.clip((correlation - LOWEST_CORRELATION) / (1.0 - LOWEST_CORRELATION), 0.0, 1.0)
    return flow, confidence


LEAST_WEIGHT = 0.1
"""Summed confidence of the flow at a vertex below which a photo gets no target there."""
FEWEST_TARGETS = 50


@dataclass(frozen=True)
class DenseTargets:
    """Targets for single vertices: vertices (M,) ids, and their ``PointTargets``."""

    vertices: np.ndarray
    targets: PointTargets


def dense_targets(
    views: Sequence[View],
    face_scales: tuple[float, ...],
    mesh: DenseMesh,
    width: int,
    stage: DenseStage,
    nuisance_size: int,
) -> tuple[DenseTargets | None, ...]:
    """Targets of every photo for ``mesh.vertices``; None for a photo that overlaps no other.

    Parameters
    ----------
    views : ``views_of`` the photos at ``width``. face_scales : ``detector_model.face_scale`` of each photo.
    width : working resolution, pixels per ``1.5 * face_scale`` (about the face's width).
    nuisance_size : of the photos' parameters.
    """
    results: list[DenseTargets | None] = []
    partners = nearest_photos(np.stack([view.direction for view in views]), stage.partners)
    for number, (view, order) in enumerate(zip(views, partners, strict=True)):
        flow_sum = np.zeros((*view.normalised.shape, 2), np.float32)
        weight_sum = np.zeros(view.normalised.shape, np.float32)
        for other in order:
            flow, confidence = pair_flow(view, views[other], width)
            flow_sum += flow * confidence[..., None]
            weight_sum += confidence
        at = view.pixels[mesh.vertices, :2]
        weight, flow = (sample_image(one, at, outside=0.0) for one in (weight_sum, flow_sum))
        kept = (weight > LEAST_WEIGHT) & view.shows(mesh.vertices)
        off, places = flow / np.maximum(weight, LEAST_WEIGHT)[:, None] / view.factor, view.in_crop(mesh.vertices)
        scale = face_scales[number]
        results.append(targets_at(mesh, kept, places, off, weight, scale, view.factor, stage, nuisance_size))
    return tuple(results)


def views_of(
    faces: tuple[PhotoFace, ...],
    parameters: tuple[PhotoParameters, ...],
    meshes: tuple[np.ndarray, ...],
    face_scales: tuple[float, ...],
    mesh: DenseMesh,
    width: int,
) -> list[View]:
    """Every photo at working resolution.

    meshes : posed vertices (V, 3) of each photo, head frame. For the other arguments see ``dense_targets``.
    """
    cameras, widths = [photo.camera() for photo in parameters], [1.5 * scale for scale in face_scales]
    return each(partial(view_of, mesh=mesh, width=width), faces, cameras, meshes, widths)


def targets_at(
    mesh: DenseMesh,
    kept: np.ndarray,
    places: np.ndarray,
    off: np.ndarray,
    weight: np.ndarray,
    scale: float,
    factor: float,
    stage: DenseStage,
    nuisance_size: int,
) -> DenseTargets | None:
    """Targets of one photo at the vertices ``kept`` (M,) bool; None when they are too few.

    places : (M, 2) projected vertices in crop pixels. off : (M, 2) their error in pixels. weight : (M,) summed
    confidence. scale : ``face_scale``. factor : working pixels per crop pixel.
    """
    count = int(kept.sum())
    if count < FEWEST_TARGETS:
        return None
    deviation = max(stage.deviation_percent / 100.0 * scale, 0.25 / factor)
    whitening = np.broadcast_to(np.eye(2) / deviation, (count, 2, 2))
    information = stage.independent_fraction * np.minimum(weight[kept], 1.0)
    nuisance = np.zeros((count, 2, nuisance_size))
    target = places[kept] + stage.step * off[kept]
    return DenseTargets(
        mesh.vertices[kept], PointTargets(mesh.points.take(kept), target, whitening, information, nuisance)
    )


_LEAST_CONFIDENCE = 0.02
"""Flow with less confidence gives no match."""
_TANGENT_RIDGE = 1e-4
"""Ridge that bounds steps in a tangent plane that a later estimate shows edge-on. Matches are made at a cosine of 0.25
or more, where the ridge changes steps by 0.1 %."""


@dataclass(frozen=True)
class PairMatches:
    """Matches of one pair of photos.

    Attributes
    ----------
    first, second : numbers of the photos. rows : (M,) into ``DenseMesh.vertices``.
    in_first, in_second : (M, 2) crop pixels. weight : (M,) the flow's confidence.
    """

    first: int
    second: int
    rows: np.ndarray
    in_first: np.ndarray
    in_second: np.ndarray
    weight: np.ndarray


@dataclass(frozen=True)
class DenseMatches:
    """Matches of all pairs, and for each photo the working pixels per crop pixel of its flow."""

    pairs: tuple[PairMatches, ...]
    factors: tuple[float, ...]


def nearest_photos(directions: np.ndarray, count: int) -> list[list[int]]:
    """Of each photo the ``count`` others that are nearest in viewing direction, nearest first; directions (P, 3)."""
    orders = enumerate(np.argsort(-directions @ directions.T).tolist())
    return [[other for other in order if other != number][:count] for number, order in orders]


def compared_pairs(directions: np.ndarray, partners: int) -> list[tuple[int, int]]:
    """Pairs of photos where one is among the other's ``partners`` nearest in viewing direction; directions (P, 3)."""
    nearest = enumerate(nearest_photos(directions, partners))
    return sorted({(min(one, other), max(one, other)) for one, others in nearest for other in others})


def dense_matches(views: Sequence[View], mesh: DenseMesh, width: int, partners: int) -> DenseMatches:
    """Compute one flow for each pair of photos; arguments as in ``dense_targets``."""
    shown = [view.shows(mesh.vertices) for view in views]
    places = [view.in_crop(mesh.vertices) for view in views]

    def matched(first: int, second: int) -> PairMatches:
        flow, confidence = pair_flow(views[first], views[second], width)
        pixels = views[first].pixels[mesh.vertices, :2]
        weight = sample_image(confidence, pixels, outside=0.0) * shown[first] * shown[second]
        rows = np.flatnonzero(weight > _LEAST_CONFIDENCE)
        off = sample_image(flow, pixels, outside=0.0)
        found = places[first] + off / views[first].factor
        return PairMatches(first, second, rows, found[rows], places[second][rows], weight[rows])

    pairs = compared_pairs(np.stack([view.direction for view in views]), partners)
    return DenseMatches(tuple(each(matched, *zip(*pairs, strict=True))), tuple(view.factor for view in views))


def matched_targets(
    matches: DenseMatches,
    parameters: tuple[PhotoParameters, ...],
    meshes: tuple[np.ndarray, ...],
    face_scales: tuple[float, ...],
    mesh: DenseMesh,
    stage: DenseStage,
) -> tuple[DenseTargets | None, ...]:
    """Targets of every photo for ``mesh.vertices`` under the current estimate; None for a photo without matches.

    For a match (q, q') of photos a and b: let p, p' be the vertex's projections and A, B (2, 2) those of its tangent
    plane. Pixel q' in b shows the point at u = B^-1 (q' - p') in the tangent plane. It projects to p + A u in a, but
    was found at q, so the vertex is off by q - p - A B^-1 (q' - p') in a; in b the other way round.
    """
    count = len(parameters)
    seen = [_projected_tangents(own, posed, mesh) for own, posed in zip(parameters, meshes, strict=True)]
    off = np.zeros((count, len(mesh.vertices), 2))
    weights = np.zeros((count, len(mesh.vertices)))
    for pair in matches.pairs:
        ends = ((pair.first, pair.in_first), (pair.second, pair.in_second))
        for (own, found), (other, found_there) in (ends, ends[::-1]):
            place, plane = (values[pair.rows] for values in seen[own])
            place_there, plane_there = (values[pair.rows] for values in seen[other])
            beside = _tangent_steps(plane_there, found_there - place_there)
            gap = found - place - (plane @ beside[..., None])[..., 0]
            off[own, pair.rows] += pair.weight[:, None] * gap
            weights[own, pair.rows] += pair.weight
    results: list[DenseTargets | None] = []
    for number, (place, _) in enumerate(seen):
        weight = weights[number]
        kept = weight > LEAST_WEIGHT
        gap = off[number] / np.maximum(weight, LEAST_WEIGHT)[:, None]
        size = len(parameters[number].nuisance)
        factor = matches.factors[number]
        results.append(targets_at(mesh, kept, place, gap, weight, face_scales[number], factor, stage, size))
    return tuple(results)


def _projected_tangents(
    parameters: PhotoParameters, posed: np.ndarray, mesh: DenseMesh
) -> tuple[np.ndarray, np.ndarray]:
    """Projections (M, 2) of the mesh's vertices and of their tangent planes (M, 2, 2), in crop pixels."""
    normals = vertex_normals(posed, mesh.triangles)[mesh.vertices]
    helper = np.where(np.abs(normals[:, :1]) < 0.8, [[1.0, 0.0, 0.0]], [[0.0, 1.0, 0.0]])
    across = np.cross(normals, helper)
    across /= np.linalg.norm(across, axis=-1, keepdims=True)
    tangents = np.stack([across, np.cross(normals, across)], -1)  # (M, 3, 2)
    pixels, by_point, _ = project_with_derivatives(parameters, posed[mesh.vertices])
    return pixels, by_point @ tangents


def _tangent_steps(planes: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """(M, 2) steps in tangent planes (M, 2, 2) that project to pixel steps (M, 2)."""
    squared = planes.transpose(0, 2, 1) @ planes
    ridge = _TANGENT_RIDGE * np.trace(squared, axis1=1, axis2=2)[:, None, None] * np.eye(2)
    return np.linalg.solve(squared + ridge, planes.transpose(0, 2, 1) @ steps[..., None])[..., 0]
