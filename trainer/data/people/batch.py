"""Batches of the source of people."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor


@dataclass(frozen=True)
class PeopleBatch:
    """Pictures of people with labels. N is people times pictures per person, one person's consecutive; see ``grouped``.

    Images: x right, y down, pixel centres at i + 0.5. Head frame: metres, x to the person's left, y up, z out of the
    face. V vertices of the template, K of its identity modes.

    Attributes
    ----------
    images : (N, 3, S, S) float32 in [0, 1], sRGB. labels : (N, S, S) uint8 of ``FaceClass``. Beyond the end of the
    photo
        both repeat its edge.
    photos : pictures of each person. person : (N,) int64 the person's number. inside : (N, S, S) bool, within the
        photo.
    intrinsics : (N, 3, 3) K in pixels. camera_from_head : (N, 4, 4).
    light : (N, 9, 3) coefficients of the shading in the head frame, in the form of
        ``backend.rendering.spherical_harmonics``: all light in bands 0-2, without shadows and highlights, with the
        picture's exposure before the camera's tone curve.
    identity : (N, K) coefficients of the identity modes; the shapes contain more than these modes. expression :
        (N, 52) weights in the order of ``ARKIT_NAMES``, eyeLook included. gaze : (N, 2, 2) radians to the person's
        left and up, of the left and the right eye.
    vertices : (N, V, 3) the template's vertices in this picture. neutral : (N, V, 3) without expression.
    landmarks478 : (N, 478, 2) in pixels. visible478 : (N, 478) bool.
    depth : (N, S, S) distance along the camera's axis to head, eyes and teeth in metres, ignoring occluders; 0
    elsewhere.
        normals : (N, 3, S, S) of the same surface, head frame, zero elsewhere. albedo : (N, 3, S, S) linear, of
        everything visible except the background. Each is None where the configuration did not ask for it.
    """

    images: Tensor
    labels: Tensor
    photos: int
    person: Tensor
    inside: Tensor
    intrinsics: Tensor
    camera_from_head: Tensor
    light: Tensor
    identity: Tensor
    expression: Tensor
    gaze: Tensor
    vertices: Tensor
    neutral: Tensor
    landmarks478: Tensor
    visible478: Tensor
    depth: Tensor | None
    normals: Tensor | None
    albedo: Tensor | None

    def grouped(self, values: Tensor) -> Tensor:
        """Reshape values (N, ...) of this batch to (people, photos, ...)."""
        return values.view(-1, self.photos, *values.shape[1:])


def join_batches(batches: list[PeopleBatch]) -> PeopleBatch:
    """Concatenate batches."""
    if len(batches) == 1:
        return batches[0]
    values = {}
    for field in fields(PeopleBatch):
        parts = [getattr(batch, field.name) for batch in batches]
        values[field.name] = torch.cat(parts) if isinstance(parts[0], Tensor) else parts[0]
    return PeopleBatch(**values)
