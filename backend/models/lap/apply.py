"""Run LAP's networks on the faces of a photo collection.

Place the photos' landmarks on the canonical surface, and estimate scale, offset and tilt of each photo's square.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from backend.models.checkpoints import LoadedNetwork, float64_array
from backend.models.lap.canonical_face import CanonicalFace, CanonicalPhoto, PhotoAlignment, view_of
from backend.models.lap.network import CanonicalMaps, LapConfig, LapNet
from backend.models.registry import LAP
from backend.photos.collection import PhotoFace
from backend.photos.faces import Window, upright_square
from backend.progress import ProgressReporter, silent
from backend.rendering import depth_surface
from backend.rendering.camera import CanonicalCamera, View
from backend.rendering.interpolate import sample_points
from protocol.similarity import fit_similarity

ROUNDS = 4
"""Rounds of ``place_landmarks``, and of robust weights in ``align``."""
_ROBUST_SHARE = 0.02
"""Scale of the robust loss, as a share of the square's side: landmarks of moving lips and brows count less."""
_FLATTEST = 0.2
"""Least cosine between normal and line of sight at which a photo places a landmark on the surface."""


def place_landmarks(
    face: CanonicalFace, landmarks: Sequence[np.ndarray], depth_range: tuple[float, float]
) -> CanonicalFace:
    """Add landmarks to the face, and alignments to its photos.

    Two steps alternate, ``ROUNDS`` times. Each photo's landmarks are projected through its view onto the surface and
    averaged over the photos. Then each photo's scale, offset and tilt are solved, so that these landmarks, projected
    into its view, fall onto its detected ones.

    Parameters
    ----------
    landmarks : per photo (468, 2), detected, in its square, 0 to 1 from edge to edge.
    depth_range : least and greatest depth in a view.
    """
    size = len(face.depth)
    pixels = [one * size for one in landmarks]
    surface, cosine = _surfaces(face, depth_range)
    photos = list(face.photos)
    for number in range(ROUNDS):
        placed, weights = _placed(face, surface, cosine, pixels, [photo.alignment for photo in photos])
        if number == ROUNDS - 1:
            break
        for index, photo in enumerate(photos):
            view_pixels = face.camera.project(torch.from_numpy(photo.moved(placed))).numpy()[:, :2]
            photos[index] = replace(photo, alignment=align(view_pixels, pixels[index], weights, size))
    return replace(face, photos=tuple(photos), landmarks=placed, landmark_weights=weights)


def align(view: np.ndarray, square: np.ndarray, weights: np.ndarray, size: int) -> PhotoAlignment:
    """The alignment that brings points (M, 2) of a view nearest to those in the square (M, 2), robustly; both in pixels
    of pictures of ``size`` pixels a side.

    Weighted least squares over similarities of the plane (Umeyama 1991), with weights (M,). With fewer than eight
    points of positive weight it is the identity.
    """
    if (weights > 0).sum() < 8:
        return PhotoAlignment()
    robust = weights
    for _ in range(ROUNDS):
        found = fit_similarity(view - size / 2, square - size / 2, robust)
        tilt = float(np.arctan2(*found.rotation[::-1, 0]))
        alignment = PhotoAlignment(found.scale, tilt, tuple(found.translation.tolist()))
        off = np.linalg.norm(alignment.to_square(view, size) - square, axis=-1) / (_ROBUST_SHARE * size)
        robust = weights / (1 + off**2) ** 2
    return alignment


def _surfaces(face: CanonicalFace, depth_range: tuple[float, float]) -> tuple[depth_surface.ViewedSurface, Tensor]:
    """The face in all photos' views, and (N, 1, S, S) cosines of canonical normals to each photo's line of sight."""
    rotation = torch.from_numpy(np.stack([photo.rotation for photo in face.photos]))
    translation = torch.from_numpy(np.stack([photo.translation for photo in face.photos]))
    depth = torch.from_numpy(face.depth).expand(len(face.photos), -1, -1)
    surface = depth_surface.view_surface(depth, View(rotation, translation), face.camera, depth_range=depth_range)
    outward = torch.from_numpy(face.normals) @ rotation[:, None].transpose(-1, -2)  # (N, S, S, 3)
    return surface, -outward[..., 2][:, None]


def _placed(
    face: CanonicalFace,
    surface: depth_surface.ViewedSurface,
    cosine: Tensor,
    pixels: Sequence[np.ndarray],
    alignments: Sequence[PhotoAlignment],
) -> tuple[np.ndarray, np.ndarray]:
    """(468, 3) landmarks on the canonical surface, averaged over the photos, and (468,) weights in [0, 1], the
    largest over the photos. cosine : as of ``_surfaces``. pixels : per photo (468, 2) landmarks in its square."""
    size = len(face.depth)
    in_view = np.stack([one.to_view(points, size) for one, points in zip(alignments, pixels, strict=True)])
    grid = torch.from_numpy(in_view * 2 / size - 1)  # (N, 468, 2)
    canonical = sample_points(surface.grid.permute(0, 3, 1, 2), grid, "zeros")
    whole = sample_points(surface.mask[:, None].double(), grid, "zeros")[..., 0] > 0.99
    facing = sample_points(cosine, canonical, "zeros")[..., 0]  # (N, 468)
    weight = ((facing - _FLATTEST) / (0.8 - _FLATTEST)).clamp(0, 1) * whole
    total = weight.sum(0)
    places = (weight[..., None] * canonical).sum(0) / total.clamp(min=1e-9)[:, None]  # (468, 2) in [-1, 1]
    points = depth_surface.points_from_depth(torch.from_numpy(face.depth)[None], face.camera).permute(0, 3, 1, 2)
    on_surface = sample_points(points, places[None])[0]
    return on_surface.numpy(), weight.amax(0).numpy()


STAGE = "canonical"
_LEAST_COSINE = 0.15
"""Least cosine at which a photo's view of a canonical pixel counts."""
_SEEN_TOLERANCE = 0.006
"""Metres that a canonical pixel may lie behind the surface that a view shows and still count as visible."""


class LapModel(LoadedNetwork[LapNet]):
    """LAP's networks."""

    model = LAP
    network_type, config_type = LapNet, LapConfig


@torch.inference_mode()
def canonical_face(faces: Sequence[PhotoFace], model: LapModel, progress: ProgressReporter = silent) -> CanonicalFace:
    """Run LAP on all faces of one person; their order does not matter beyond rounding.

    Black-and-white photos do not contribute to the albedo if at least one photo is in colour. Reports progress under
    ``canonical``.

    Raises
    ------
    ValueError : no face was given.
    """
    if not faces:
        raise ValueError("a canonical face needs at least one photo")
    progress(STAGE, 0.0)
    network, config = model.network, model.network.config
    windows = [upright_square(face.landmarks) for face in faces]
    pictures = _pictures(faces, windows, config.size, model.device)
    codes = network.encode(pictures)
    together = torch.zeros(len(faces), dtype=torch.int64, device=model.device)  # all photos show person 0
    shared, scene = network.aggregate(codes, together), network.scene(pictures, codes)
    progress(STAGE, 0.4)
    colour = torch.tensor([not face.monochrome for face in faces], device=model.device)
    if colour.any() and not colour.all():
        in_colour = codes.of(colour)
        shared = replace(shared, albedo=network.aggregate(in_colour, together[colour]).albedo)
    sigma = network.confidence(pictures)[0][:, 0].float()  # (N, S, S)
    personal = network.personalize(pictures, shared.of(together))
    progress(STAGE, 0.8)
    confidence = _confidence(shared, scene.view, sigma, config)
    views = zip(*map(float64_array, (scene.view.rotation, scene.view.translation)), strict=True)
    lights = zip(*map(float64_array, (scene.light.ambient, scene.light.diffuse, scene.light.direction)), strict=True)
    surfaces = zip(float64_array(personal.depth), _unit(personal.albedo), strict=True)
    photos = tuple(
        CanonicalPhoto(face.name, window, PhotoAlignment(), *view, float(ambient), float(diffuse), direction, *surface)
        for face, window, view, (ambient, diffuse, direction), surface in zip(
            faces, windows, views, lights, surfaces, strict=True
        )
    )
    camera = CanonicalCamera(tuple(shared.depth.shape[-2:]))
    result = CanonicalFace(
        depth=float64_array(shared.depth[0]),
        normals=-float64_array(depth_surface.normals_from_depth(shared.depth, camera)[0]),
        albedo=_unit(shared.albedo)[0],
        confidence=float64_array(confidence),
        landmarks=np.zeros((0, 3)),
        landmark_weights=np.zeros(0),
        photos=photos,
        version=model.version,
    )
    marks = [window.from_picture(face.landmarks[:468, :2], 1.0) for face, window in zip(faces, windows, strict=True)]
    result = place_landmarks(result, marks, config.view_depth_range)
    progress(STAGE, 1.0)
    return result


def _pictures(faces: Sequence[PhotoFace], windows: Sequence[Window], size: int, device: torch.device) -> Tensor:
    """(N, 3, S, S) pictures in [-1, 1], cut out of the faces' crops."""
    cut = np.stack([window.cut(face.pixels, size) for face, window in zip(faces, windows, strict=True)])
    return torch.from_numpy(cut).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1


def _confidence(face: CanonicalMaps, view: View, sigma: Tensor, config: LapConfig) -> Tensor:
    """(S, S) confidence in [0, 1]: at each pixel the maximum over the photos. A photo's confidence is high where it
    sees the surface frontally and where its sigma is small relative to the photo's median."""
    count, size = len(sigma), face.depth.shape[-1]
    many = face.of(torch.zeros(count, dtype=torch.int64, device=sigma.device))
    camera = CanonicalCamera((size, size))
    surface = view_of(many, view, config)
    usual = torch.stack([s[m].median() if m.any() else s.median() for s, m in zip(sigma, surface.mask, strict=True)])
    trust = 1 / (1 + (sigma / usual[:, None, None].clamp(min=1e-6)) ** 2) * 2
    grid = depth_surface.view_grid(many.depth, view, camera)
    sampled = grid_sample(trust[:, None], grid, align_corners=False)[:, 0]
    placed = view.apply(depth_surface.points_from_depth(many.depth, camera))[..., 2]
    far = torch.where(surface.mask, surface.depth, torch.inf)[:, None]
    nearest = grid_sample(far, grid, mode="nearest", align_corners=False)[:, 0]
    normals = depth_surface.normals_from_depth(many.depth, camera) @ view.rotation[:, None].transpose(-1, -2)
    cosine = ((normals[..., 2] - _LEAST_COSINE) / (0.6 - _LEAST_COSINE)).clamp(0, 1)
    inside = (grid.abs() <= 1).all(-1) & (placed <= nearest + _SEEN_TOLERANCE)
    return (sampled.clamp(0, 1) * cosine * inside).amax(0)


def _unit(albedo: Tensor) -> np.ndarray:
    """(N, 3, S, S) in [-1, 1] to (N, S, S, 3) in [0, 1]."""
    return np.ascontiguousarray(float64_array(albedo).transpose(0, 2, 3, 1)) / 2 + 0.5
