"""Compare identity bases by fitting the codes of each to every photo, with everything else the same."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from backend.geometry.normals import vertex_normals
from backend.models.learned_basis.encoder import FaceCode, FacePose
from backend.models.learned_basis.network import LearnedBasisNet
from backend.models.learned_basis.picture import render_face
from trainer.data.face_model import FaceBatch
from trainer.data.lap.batch import class_mask
from trainer.evaluate.basis_identities import COMPONENTS
from trainer.evaluate.basis_reenactment import chosen_photos, frame_errors
from trainer.evaluate.metrics.intervals import mean_interval, ratio_interval
from trainer.losses import face_model as losses
from trainer.losses.lip_contour import contour_error, lip_masks, mesh_contours, photo_contours
from trainer.recipe import find_recipe, load_recipe
from trainer.stages.learned_basis import LearnedBasisStageConfig
from trainer.stages.learned_basis_detector import predicted_again
from trainer.stages.learned_basis_render import FaceMarks, lip_grid
from trainer.stages.learned_basis_start import REFLECTANCE_CLASSES

RECIPE = "learned_basis_cpu"
"""Its last stage gives the loss weights of landmarks, lips, colours and the code prior."""
MEASURES = ("photometric", "landmark", "lip_iou.upper", "lip_iou.lower")
STEPS = 40
"""Adam iterations."""
_RATE = 0.4
"""Initial learning rate in standard deviations; it falls linearly to zero. Photometric error of the components on
eleven portraits: 0.0500; 0.0510 at a rate of 0.2, 0.0526 at 0.1, and 0.0505 after twice the steps."""
_TURN, _SHIFT, _SCALE = 0.05, 0.01, 0.02
"""One unit of the pose correction: radians, sides of the photo, logarithm of the scale. About the encoder's error on
held-out people (4.3 degrees, 1.3 % of the side)."""
_BATCH = 16


@dataclass(frozen=True)
class _Photos:
    """Photos with what is the same for every basis: the encoder's codes and the recipe's weights."""

    batch: FaceBatch
    code: FaceCode
    recipe: LearnedBasisStageConfig

    def moved(self, identity: Tensor, change: Tensor) -> FaceCode:
        """The codes with identities (N, K) and poses changed by (N, 6) units of the pose correction."""
        pose = self.code.pose
        pose = FacePose(
            angles=pose.angles + _TURN * change[:, :3],
            shift=pose.shift + _SHIFT * change[:, 3:5],
            scale=pose.scale * (_SCALE * change[:, 5]).exp(),
            distance=pose.distance,
        )
        return replace(self.code, identity=identity, pose=pose)


def fitted_code(network: LearnedBasisNet, photos: _Photos, steps: int) -> FaceCode:
    """Fit identity codes and poses to each photo, starting from the mean face in the encoder's pose.

    Expression and reflectance stay the encoder's; the light is solved at every step."""
    batch, recipe = photos.batch, photos.recipe
    weights, size, pictures = recipe.weights, batch.images.shape[-1], batch.images * 2 - 1
    skin = class_mask(batch.labels, REFLECTANCE_CLASSES)
    contours = photo_contours(lip_masks(batch.labels, batch.landmarks))
    marks, grid, faces = FaceMarks(), lip_grid(), network.bases.faces
    identity = torch.zeros_like(photos.code.identity, requires_grad=True)
    change = torch.zeros(len(identity), 6, requires_grad=True)
    optimizer = torch.optim.Adam([identity, change], _RATE)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = _RATE * (1 - step / steps)
        code = photos.moved(identity, change)
        face, cameras = network.face(code), code.pose.cameras(size)
        with torch.no_grad():
            light = network.light_on(face, code, pictures)
        pixels = cameras.project(face.vertices)
        rendered = render_face(network.bases, face, pixels, light, size)
        points = marks.slid(face.vertices, vertex_normals(face.vertices, faces), cameras, batch.slides)
        points = cameras.project(points)[..., :2]
        loss = (
            weights.landmark * losses.landmark_error(points, batch.landmarks, batch.landmark_weight, size)
            + weights.lips * contour_error(mesh_contours(pixels, grid), contours, size, recipe.lip_threshold)
            + weights.photometric * losses.picture_error(rendered.image, batch.images, (rendered.mask & skin).float())
            + weights.identity_prior * losses.code_prior(identity)
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        code = photos.moved(identity, change)
        return replace(code, light=network.light_on(network.face(code), code, pictures))


def photo_errors(
    network: LearnedBasisNet, identities: Mapping[str, Tensor], batch: FaceBatch, steps: int = STEPS
) -> dict[str, dict[str, Tensor]]:
    """``MEASURES`` (N,) of the colour photos by name of the identity basis (K, G, 3).

    ``mean_face`` is the baseline: a zero identity whose pose is fitted the same way."""
    batch = chosen_photos(batch, ~batch.is_grey)
    count = len(batch.images)
    batch = replace(batch, set_of=torch.arange(count))
    recipe = load_recipe(find_recipe(RECIPE)).stages[-1]
    with torch.no_grad():
        code = predicted_again(network, batch)
    bases = {"mean_face": torch.zeros_like(network.bases.identity_raw), **identities}
    errors: dict[str, dict[str, list[Tensor]]] = {}
    for start in range(0, count, _BATCH):
        rows = torch.arange(count)
        chosen = (rows >= start) & (rows < start + _BATCH)
        photos = _Photos(_alone(batch, chosen), _codes(code, chosen), recipe)
        for name, directions in bases.items():
            turned = copy.deepcopy(network).requires_grad_(False)
            turned.bases.identity_raw.copy_(directions)
            found = fitted_code(turned, photos, steps)
            for measure, values in frame_errors(turned, FaceMarks(), found, photos.batch).items():
                errors.setdefault(name, {}).setdefault(measure, []).append(values)
    return {name: {measure: torch.cat(parts) for measure, parts in own.items()} for name, own in errors.items()}


def _alone(batch: FaceBatch, chosen: Tensor) -> FaceBatch:
    own = chosen_photos(batch, chosen)
    return replace(own, set_of=torch.arange(len(own.images)))


def _codes(code: FaceCode, chosen: Tensor) -> FaceCode:
    own = {name: getattr(code, name)[chosen] for name in ("identity", "reflectance", "expression", "light")}
    return FaceCode(**own, pose=code.pose.of(chosen), set_of=torch.arange(int(chosen.sum())))


def fitted_figures(errors: Mapping[str, Mapping[str, Tensor]]) -> dict[str, float]:
    """``basis.NAME.MEASURE`` with its 95 % interval over portraits, and ``.of_components``: its ratio to the figure of
    the components, with an interval too."""
    figures: dict[str, float] = {}
    for name, own in errors.items():
        for measure in MEASURES:
            key = f"basis.{name}.{measure}"
            figures |= mean_interval(own[measure].numpy()).figures(key)
            if name != COMPONENTS:
                theirs = errors[COMPONENTS][measure].numpy()
                figures |= ratio_interval(own[measure].numpy(), theirs).figures(f"{key}.of_components")
    return figures
