"""LAP's network: canonical depth and albedo of a person from any number of photos.

Zhang et al., "Learning to Aggregate and Personalize 3D Face from In-the-Wild Photo Collection" (CVPR 2021), on
Unsup3D's networks (Wu et al., CVPR 2020). Codes of all photos of a set are averaged with channel-wise softmax weights
and decoded once (section 4.1); light, view and confidence come from each photo; the attribute-refining networks
modify the shared face for one photo (section 4.2).
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from backend.models.lap.blocks import (
    CodeEncoder,
    ConfidenceNet,
    ConvolutionDecoder,
    LinearDecoder,
    PlainEncoder,
    RefiningNet,
    ViewOfFace,
)
from backend.models.lap.config import LapConfig
from backend.models.lap.landmark_face import EXPRESSIONS, LandmarkEvidence, LandmarkFace
from backend.models.lap.posterior import ALIGNED_CHANNELS, Posterior, PosteriorFusion, aligned_pictures
from backend.rendering.camera_models import (
    CanonicalCamera,
    View,
    view_from_network,
)
from backend.rendering.depth_surface import normals_from_depth
from backend.rendering.lambert import LambertLight, lambert_image, lambert_shading, light_from_network

_FIRST_PRECISION = -3.0
"""Initial precision of the pictures' coefficients, before softplus: a twentieth of the prior's."""
_CORRECTION_DEGREES, _CORRECTION = 20.0, (0.05, 0.05, 0.15)
"""Largest turn and shifts of the networks' correction of a view that comes from landmarks."""
_EDGE = 0.97
"""Canonical values are clamped to this share of their range before the inverse tanh."""


@dataclass(frozen=True)
class CanonicalMaps:
    """Depth (G, S, S) and albedo (G, 3, S, S) in [-1, 1], facing the camera; sRGB as in the paper."""

    depth: Tensor
    albedo: Tensor

    def flipped(self) -> CanonicalMaps:
        """Left and right exchanged."""
        return CanonicalMaps(self.depth.flip(-1), self.albedo.flip(-1))

    def of(self, rows: Tensor) -> CanonicalMaps:
        """Select the sets ``rows`` (N,)."""
        return CanonicalMaps(self.depth.index_select(0, rows), self.albedo.index_select(0, rows))

    def shaded(self, light: LambertLight) -> Tensor:
        """(G, 3, S, S) the canonical picture in [-1, 1] under one light each."""
        camera = CanonicalCamera(tuple(self.depth.shape[-2:]))
        return lambert_image(self.albedo, lambert_shading(normals_from_depth(self.depth, camera), light))


@dataclass(frozen=True)
class Scene:
    """Light and view of each of N photos."""

    light: LambertLight
    view: View

    def with_mirrored(self) -> Scene:
        """The same light and view for faces and their mirror images."""
        light, view = self.light, self.view
        return Scene(
            type(light)(light.ambient.repeat(2), light.diffuse.repeat(2), light.direction.repeat(2, 1)),
            View(view.rotation.repeat(2, 1, 1), view.translation.repeat(2, 1)),
        )


@dataclass(frozen=True)
class Codes:
    """Identity codes (N, C) and the logits (N, C) of their weights, for depth and for albedo (None if not computed);
    the features (N, F) of the depth encoder, which the view may use; the marks' evidence, if the fusion is
    ``posterior``."""

    depth: Tensor
    depth_logits: Tensor
    features: Tensor
    albedo: Tensor | None = None
    albedo_logits: Tensor | None = None
    evidence: LandmarkEvidence | None = None

    def of(self, rows: Tensor) -> Codes:
        """Select photos, by indices (M,) or by a mask (N,)."""
        known = {field.name: getattr(self, field.name) for field in fields(self)}
        evidence = known.pop("evidence")
        chosen = {name: None if values is None else values[rows] for name, values in known.items()}
        return Codes(**chosen, evidence=None if evidence is None else evidence.of(rows))


class LapNet(nn.Module):
    """All networks. Pictures are (N, 3, S, S) in [-1, 1], sRGB, the square of ``photos.faces.crop.face_square``.

    Marks are (N, 478, 3), the landmark net's output for the same squares: x, y and standard deviation in sides. They
    are required with fusion ``posterior``, else None.
    """

    def __init__(self, config: LapConfig) -> None:
        super().__init__()
        self.config = c = config
        self.landmarks, self.fusion = None, None
        depth_code, inputs = c.code, 3
        if c.posterior:
            depth_code, inputs = c.depth_components, ALIGNED_CHANNELS
            self.landmarks = LandmarkFace(c.size, c.depth_components, EXPRESSIONS + c.landmark_components)
            self.fusion = PosteriorFusion(c.depth_components)
        told = 0 if self.landmarks is None else self.landmarks.width
        self.depth_encoder = CodeEncoder(c.size, c.depth_width, depth_code, c.pooled, c.pooled > 0, told, inputs)
        if c.posterior:  # initially the landmarks' shape
            nn.init.zeros_(self.depth_encoder.fuse.weight)
            nn.init.zeros_(self.depth_encoder.fuse.bias)
            nn.init.constant_(self.depth_encoder.weigh.bias, _FIRST_PRECISION)
        self.albedo_encoder = CodeEncoder(c.size, c.albedo_width, c.code, c.pooled, c.pooled > 0)
        if c.decoder == "linear":
            sides = c.depth_basis_size or c.size, c.albedo_basis_size or c.size
            self.depth_decoder: nn.Module = LinearDecoder(
                c.size, 0 if c.posterior else c.code, 1, c.depth_components, sides[0], c.depth_residual
            )
            self.albedo_decoder: nn.Module = LinearDecoder(
                c.size, c.code, 3, c.albedo_components, sides[1], c.albedo_residual
            )
        else:
            self.depth_decoder = ConvolutionDecoder(c.size, c.depth_width, c.code, 1)
            self.albedo_decoder = ConvolutionDecoder(c.size, c.albedo_width, c.code, 3)
        self.light = PlainEncoder(c.size, c.scene_width, 4)
        self.view = PlainEncoder(c.size, c.scene_width, 6)
        self.view_head = nn.Linear(self.depth_encoder.fuse.in_features, 6) if c.view_head else None
        if self.view_head is not None:
            nn.init.zeros_(self.view_head.weight)
            nn.init.zeros_(self.view_head.bias)
        self.view_face = ViewOfFace(self.depth_encoder.fuse.in_features, depth_code) if c.view_knows_face else None
        self.confidence = ConfidenceNet(c.size, c.confidence_width, c.confidence_code)
        self.depth_refiner = RefiningNet(c.personal_size, c.refine_width, 1, c.injection, c.filtered)
        self.albedo_refiner = RefiningNet(c.personal_size, c.refine_width, 3, c.injection, c.filtered)

    def encode(self, pictures: Tensor, marks: Tensor | None = None) -> Codes:
        """The codes of each picture alone. Raises ``ValueError`` if the networks need marks and there are none."""
        albedo, albedo_logits, _ = self.albedo_encoder(pictures)
        return replace(self.encode_depth(pictures, marks), albedo=albedo, albedo_logits=albedo_logits)

    def encode_depth(self, pictures: Tensor, marks: Tensor | None = None) -> Codes:
        """``encode`` without albedo, which suffices for depth and views."""
        if self.landmarks is None:
            return Codes(*self.depth_encoder(pictures))
        if marks is None:
            raise ValueError("these networks want the landmark net's points beside the pictures")
        evidence = self.landmarks.evidence(marks)
        with torch.no_grad(), torch.autocast(marks.device.type, enabled=False):
            laid = aligned_pictures(pictures.float(), self.decode_depth(evidence.shape), evidence)
        told = self.landmarks.features(marks, evidence.alone())
        change, logits, features = self.depth_encoder(laid, told)
        return Codes(evidence.shape + change, logits, features, evidence=evidence)

    def aggregate(self, codes: Codes, set_of: Tensor) -> CanonicalMaps:
        """The shared face of each set (equation 4). ``set_of`` (N,) int64 : index of each code's set, from 0."""
        depth, _ = self._together(codes, set_of)
        return self._shared(codes, depth, set_of)

    def _shared(self, codes: Codes, depth: Tensor, set_of: Tensor) -> CanonicalMaps:
        """The faces of sets with depth codes (G, C)."""
        return self.decode(depth, fuse_codes(codes.albedo, codes.albedo_logits, set_of, self.config.fusion))

    def posterior(self, codes: Codes, set_of: Tensor) -> Posterior:
        """Posterior of the sets' depth coefficients; for ``fusion = "posterior"``."""
        with torch.autocast(codes.depth.device.type, enabled=False):
            return self.fusion(codes.evidence, codes.depth, codes.depth_logits, set_of)

    def _together(self, codes: Codes, set_of: Tensor) -> tuple[Tensor, View | None]:
        """The fused depth codes (G, C) of sets, and the photos' views by landmarks (None except with ``posterior``)."""
        if self.fusion is not None:
            depth = self.posterior(codes, set_of).mean
            return depth, self.views_with(codes, depth[set_of])
        return fuse_codes(codes.depth, codes.depth_logits, set_of, self.config.fusion), None

    def depth_codes(self, codes: Codes, set_of: Tensor) -> Tensor:
        """(G, C) fused codes from which the depth of sets is decoded."""
        return self._together(codes, set_of)[0]

    def views_with(self, codes: Codes, shape: Tensor) -> View:
        """Views by landmarks of photos whose faces have depth coefficients (N, K)."""
        with torch.no_grad(), torch.autocast(shape.device.type, enabled=False):
            return codes.evidence.view_with(shape.float())

    def decode(self, depth_code: Tensor, albedo_code: Tensor) -> CanonicalMaps:
        """The faces of fused codes (G, C)."""
        return CanonicalMaps(self.decode_depth(depth_code), torch.tanh(self.albedo_decoder(albedo_code).float()))

    def decode_depth(self, depth_code: Tensor) -> Tensor:
        """The depth (G, S, S) of fused codes (G, C)."""
        raw = self.depth_decoder(depth_code)[:, 0].float()
        if self.config.decoder == "convolution":
            raw = raw - raw.mean((1, 2), keepdim=True)
        return self.depth_from_raw(raw)

    def shape(self, pictures: Tensor, set_of: Tensor, marks: Tensor | None = None) -> tuple[Tensor, View]:
        """Only the depth (G, S, S) of the sets and the views of the pictures, as in ``forward``, at half its cost."""
        codes = self.encode_depth(pictures, marks)
        fused, start = self._together(codes, set_of)
        return self.decode_depth(fused), self._view(pictures, codes.features, fused[set_of], start)

    def view_of(self, pictures: Tensor, codes: Codes, face: Tensor) -> View:
        """Views of pictures of people with depth codes (N, C), for ``fusion = "posterior"``."""
        return self._view(pictures, codes.features, face, self.views_with(codes, face))

    def scene(self, pictures: Tensor, codes: Codes, set_of: Tensor | None = None) -> Scene:
        """Light and view of each picture, from its codes. ``set_of`` (N,) : index of each picture's set; None: each
        picture is a set of its own."""
        together = torch.arange(len(pictures), device=pictures.device) if set_of is None else set_of
        fused, start = self._together(codes, together)
        return self._scene(pictures, codes, fused[together], start)

    def face_and_scene(self, pictures: Tensor, codes: Codes, set_of: Tensor) -> tuple[CanonicalMaps, Scene]:
        """``aggregate`` and ``scene`` of the same sets, solving their landmarks only once."""
        fused, start = self._together(codes, set_of)
        return self._shared(codes, fused, set_of), self._scene(pictures, codes, fused[set_of], start)

    def _scene(self, pictures: Tensor, codes: Codes, face: Tensor, start: View | None) -> Scene:
        """face : (N, C) fused depth code of each picture's person. start : the picture's view by landmarks."""
        view = self._view(pictures, codes.features, face, start)
        if self.config.mirrored_views and not self.training:
            mirrored = pictures.flip(-1)
            features = codes.features if self.view_head is None else self.depth_encoder.features(mirrored)
            view = mean_of_views(view, mirrored_view(self._view(mirrored, features, face, None)))
        return Scene(light_from_network(self.light(pictures).float()), view)

    def _view(self, pictures: Tensor, features: Tensor, face: Tensor, start: View | None) -> View:
        more = pictures.new_zeros(len(pictures), 6)
        if self.view_head is not None:
            more = more + self.view_head(features)
        if self.view_face is not None:
            more = more + self.view_face(features, face.detach())
        said, config = self.view(pictures, more).float(), self.config
        if start is None:
            return view_from_network(said, rotation_degrees=config.rotation_degrees, translation=config.translation)
        change = view_from_network(said, rotation_degrees=_CORRECTION_DEGREES, translation=_CORRECTION)
        with torch.autocast(pictures.device.type, enabled=False):  # half precision is too coarse for rotations
            return View(change.rotation @ start.rotation, change.translation + start.translation)

    def personalize(self, pictures: Tensor, face: CanonicalMaps) -> CanonicalMaps:
        """The faces (N, ...) of sets, personalised to target pictures (N, 3, T, T); T is ``personal_size``."""
        size = self.config.personal_size
        depth, albedo = _resized(face.depth[:, None], size), _resized(face.albedo, size)
        near, far = self.config.depth_range
        unit = (depth - (near + far) / 2) / ((far - near) / 2)  # the networks' inputs are in [-1, 1]
        raw_depth = self.depth_refiner(unit, pictures)[:, 0].float()
        raw_albedo = self.albedo_refiner(albedo, pictures).float()
        if self.config.refine_residual:
            raw_depth = raw_depth + self.raw_depth(depth[:, 0])
            raw_albedo = raw_albedo + torch.atanh(albedo.clamp(-_EDGE, _EDGE))
        else:
            raw_depth = raw_depth - raw_depth.mean((1, 2), keepdim=True)
        return CanonicalMaps(self.depth_from_raw(raw_depth), torch.tanh(raw_albedo))

    def depth_from_raw(self, raw: Tensor) -> Tensor:
        """Raw maps (N, S, S) to canonical depth, with the border columns set to ``border_depth``."""
        near, far = self.config.depth_range
        depth = (near + far) / 2 + (far - near) / 2 * torch.tanh(raw)
        columns = self.config.border_columns
        if columns:
            inner = depth[:, :, columns:-columns]
            depth = functional.pad(inner, (columns, columns), value=self.config.border_depth)
        return depth

    def raw_depth(self, depth: Tensor) -> Tensor:
        """The inverse of ``depth_from_raw``, clamped to the range."""
        near, far = self.config.depth_range
        return torch.atanh(((depth - (near + far) / 2) / ((far - near) / 2)).clamp(-_EDGE, _EDGE))

    def forward(self, pictures: Tensor, set_of: Tensor, marks: Tensor | None = None) -> tuple[CanonicalMaps, Scene]:
        """The shared faces of all sets, light and view of all pictures."""
        return self.face_and_scene(pictures, self.encode(pictures, marks), set_of)


def mirrored_view(view: View) -> View:
    """The view with left and right exchanged, as in a mirror image."""
    side = view.rotation.new_tensor([-1.0, 1.0, 1.0])
    return View(view.rotation * side * side[:, None], view.translation * side)


def mean_of_views(first: View, second: View) -> View:
    """Mean of two views, (N, 3, 3) and (N, 3) each."""
    u, _, vh = torch.linalg.svd((first.rotation + second.rotation) / 2)
    sign = torch.ones_like(u[:, 0])
    sign[:, 2] = torch.linalg.det(u @ vh)
    return View((u * sign[:, None]) @ vh, (first.translation + second.translation) / 2)


def fuse_codes(codes: Tensor, logits: Tensor, set_of: Tensor, fusion: str = "adaptive") -> Tensor:
    """Fuse codes (N, C) of photos to codes (G, C) of sets: see ``LapConfig.fusion``.

    ``posterior`` adds a code of zeros, the mean face, whose share falls with more photos. The order of the photos does
    not matter beyond rounding. Without it a set of one keeps its code.
    """
    counts = torch.bincount(set_of)
    start = torch.cumsum(counts, 0) - counts
    order = torch.argsort(set_of, stable=True)
    slot = torch.empty_like(set_of)
    slot[order] = torch.arange(len(set_of), device=set_of.device) - start[set_of[order]]
    shape = (len(counts), int(counts.max()) + 1, codes.shape[1])  # the last one is the code of zeros
    weights = torch.full(shape, -torch.inf, device=codes.device)
    weights[set_of, slot] = torch.zeros_like(codes).float() if fusion == "average" else logits.float()
    if fusion == "posterior":
        weights[:, -1] = 0.0
    padded = torch.zeros(shape, device=codes.device)
    padded[set_of, slot] = codes.float()
    return (weights.softmax(1) * padded).sum(1)


def _resized(maps: Tensor, size: int) -> Tensor:
    if maps.shape[-1] == size:
        return maps
    return functional.interpolate(maps, (size, size), mode="bilinear", align_corners=False, antialias=True)
