"""Fit faces to the landmark net's points, as input of LAP's networks (ours): one shape for all photos of a person and a
view of each photo, by maximum a posteriori.

Gaussian posterior of the depth basis' coefficients, from a prior of people, landmarks and pictures (ours).

The landmarks of each photo give a linear-Gaussian likelihood of the coefficients, with view and expression eliminated
(``LandmarkFace.evidence``). From each picture, sampled onto the face that its landmarks give, a network predicts the
coefficients and a precision of each. Precisions add. Errors that all photos of a person share do not average out.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from backend.models.landmarks import LANDMARKS
from backend.rendering.camera import LAP_PIVOT, CanonicalCamera, View, cross_matrix, rotation_from_axis_angle
from backend.rendering.depth_surface import normals_from_depth, view_grid

EXPRESSIONS = 16
"""Number of expression components, which are free in each photo."""
_HIDDEN = 256
_SPREADS = 8
"""Number of features that summarise the points' standard deviations."""
_ALONE, _TOGETHER = 3, 3
"""Gauss-Newton steps for the view of the mean face alone, then for shape, expressions and views together."""
_INDEPENDENT = 0.1
"""Share of the points that counts as independent, because the net's errors are correlated between neighbours."""
_FIRM = 0.01
"""Initial standard deviation of a point's residual, in sides, after shape, expression and view; measured later."""
_NEAREST = 0.3
"""Least depth of the face's pivot during the fit."""


@dataclass(frozen=True)
class LandmarkShapes:
    """Linear model of a face's canonical points: the mean (478, 3), the components of people's shapes (K, 478, 3), and
    those of expressions and other nuisances that are free in each photo (E, 478, 3), one standard deviation each."""

    mean: Tensor
    people: Tensor
    expressions: Tensor


@dataclass(frozen=True)
class MarkedFaces:
    """Maximum a posteriori faces of G sets of N photos. shape : (G, K) in standard deviations. certainty : (G, K) in
    [0, 1], the share of the prior variance that the photos remove. view : of the N photos."""

    shape: Tensor
    certainty: Tensor
    view: View


@dataclass(frozen=True)
class LandmarkEvidence:
    """Evidence of each of N photos' landmarks about K shape coefficients; view and expression are eliminated.

    shape : (N, K) the most probable, in standard deviations. information : (N, K, K) of the photo, without the prior of
    people. view : with that shape. follow : (N, 6, K) derivative of the view's turn (radians) and shift by the shape.
    """

    shape: Tensor
    information: Tensor
    view: View
    follow: Tensor

    @property
    def pull(self) -> Tensor:
        """(N, K) right-hand side: information times the photo's own shape without the prior."""
        return (self.information @ self.shape[..., None])[..., 0] + self.shape

    def alone(self) -> MarkedFaces:
        """The face of each photo by itself."""
        unit = torch.eye(self.shape.shape[1], device=self.shape.device)
        variance = torch.linalg.inv(self.information + unit).diagonal(dim1=1, dim2=2)
        return MarkedFaces(self.shape, (1 - variance).clamp(0, 1), self.view)

    def of(self, rows: Tensor) -> LandmarkEvidence:
        """Select photos, by indices (M,) or by a mask (N,)."""
        view = View(self.view.rotation[rows], self.view.translation[rows])
        return LandmarkEvidence(self.shape[rows], self.information[rows], view, self.follow[rows])

    def view_with(self, shape: Tensor) -> View:
        """The views for given shapes (N, K), linearised."""
        return _moved(self.view, (self.follow @ (shape - self.shape)[..., None])[..., 0])


class LandmarkFace(nn.Module):
    """Marks (N, 478, 3), x, y and standard deviation in sides of a picture, to shapes, views and features.

    Attributes
    ----------
    width : number of features of a photo.
    """

    def __init__(self, size: int, components: int, nuisances: int = EXPRESSIONS) -> None:
        """nuisances : number of components that are free in each photo."""
        super().__init__()
        self.focal = CanonicalCamera((size, size)).focal / size  # in sides
        inputs = 2 * components + 12 + _SPREADS
        self.width = inputs + _HIDDEN
        self.register_buffer("points", torch.zeros(LANDMARKS, 3))  # of the mean face, relative to the pivot
        self.register_buffer("people", torch.zeros(components, LANDMARKS, 3))
        self.register_buffer("expressions", torch.zeros(nuisances, LANDMARKS, 3))
        self.register_buffer("spread", torch.full((LANDMARKS,), _FIRM))
        self.spreads = nn.Linear(LANDMARKS, _SPREADS)
        self.net = nn.Sequential(nn.Linear(inputs, _HIDDEN), nn.ReLU(), nn.Linear(_HIDDEN, _HIDDEN), nn.ReLU())

    @torch.no_grad()
    def set_reference(self, shapes: LandmarkShapes, marks: Tensor) -> None:
        """Store the shapes, and measure the spread of the residuals on marks (P, 478, 3)."""
        self.points.copy_(shapes.mean - shapes.mean.new_tensor(LAP_PIVOT))
        self.people.copy_(shapes.people)
        self.expressions.copy_(shapes.expressions)
        for _ in range(2):  # the second fit uses the spread that the first has measured
            view, shape, moved = self._solved(marks, torch.arange(len(marks), device=marks.device))[:3]
            left = self._beside(marks, view, self._of_shape(shape) + moved)
            # the median ignores faces that the net misses; for a sum of two squared standard normals it is 1.386
            self.spread.copy_(left.pow(2).sum(-1).median(0).values.div(1.386).sqrt())

    @torch.no_grad()
    def evidence(self, marks: Tensor) -> LandmarkEvidence:
        """Evidence of each photo alone about the shape."""
        with torch.autocast(marks.device.type, enabled=False):
            alone = torch.arange(len(marks), device=marks.device)
            view, shape, _, information, follow = self._solved(marks.float(), alone)
        unit = torch.eye(shape.shape[1], device=marks.device)
        return LandmarkEvidence(shape, information - unit, view, follow)

    def features(self, marks: Tensor, alone: MarkedFaces | None = None) -> Tensor:
        """(N, width) features of each photo. ``alone`` : its face by itself, if that is solved already."""
        if alone is None:
            alone = self.faces(marks, torch.arange(len(marks), device=marks.device))
        spreads = self.spreads(torch.log(marks[..., 2].clamp(min=1e-4)) + 5.0)
        view = alone.view.rotation.flatten(1), 10.0 * alone.view.translation
        statistics = torch.cat([alone.shape, alone.certainty, *view, spreads], 1)
        return torch.cat([statistics, self.net(statistics)], 1)

    @torch.no_grad()
    def faces(self, marks: Tensor, set_of: Tensor) -> MarkedFaces:
        """Fit the shape of each set, and the views. ``set_of`` (N,) : index of each photo's set, from 0."""
        with torch.autocast(marks.device.type, enabled=False):
            view, shape, _, information, _ = self._solved(marks.float(), set_of)
            variance = torch.linalg.inv(information).diagonal(dim1=1, dim2=2)
        return MarkedFaces(shape, (1 - variance).clamp(0, 1), view)

    def _solved(self, marks: Tensor, set_of: Tensor) -> tuple[View, Tensor, Tensor, Tensor, Tensor]:
        """Views, shapes (G, K), offsets of the points by expression (N, L, 3), information (G, K, K) about the shapes
        with the prior, and the derivative of the views by the shapes (N, 6, K)."""
        weight = 1 / (marks[..., 2] ** 2 + self.spread**2)
        view = self._first_view(marks[..., :2] - 0.5, weight)
        sets, components = int(set_of.max()) + 1, len(self.people)
        shape = marks.new_zeros(sets, components)
        moods = marks.new_zeros(len(marks), len(self.expressions))
        prior = torch.cat([marks.new_full((6,), 1e-6), marks.new_ones(len(self.expressions))])
        trust = _INDEPENDENT * weight.repeat_interleave(2, 1)[..., None]  # (N, 2L, 1)
        for step in range(_ALONE + _TOGETHER):
            moved = torch.einsum("ne,elc->nlc", moods, self.expressions)
            points = self._of_shape(shape)[set_of] + moved
            by_view, rows = self._jacobian(view, points)
            left = self._beside(marks, view, points).flatten(1)[..., None]
            if step < _ALONE:  # far from the solution shape and expression would absorb the view's error
                own, by_shape = by_view, None
            else:
                turned = rows @ view.rotation[:, None]  # (N, L, 2, 3) by points of the face
                own = torch.cat([by_view, torch.einsum("nlrc,elc->nlre", turned, self.expressions)], -1)
                by_shape = torch.einsum("nlrc,klc->nlrk", turned, self.people).flatten(1, 2)
            own = own.flatten(1, 2)  # (N, 2L, 6 or 6 + E)
            count = own.shape[-1]
            weighted = (own * trust).transpose(1, 2)
            matrix = weighted @ own + torch.diag(prior[:count])
            held = torch.cat([marks.new_zeros(len(marks), 6), moods], 1)[:, :count] * prior[:count]
            right = weighted @ left - held[..., None]
            if by_shape is None:
                change = torch.linalg.solve(matrix, right)[..., 0]
            else:
                coupling = weighted @ by_shape  # (N, 6 + E, K)
                solved = torch.linalg.solve(matrix, torch.cat([coupling, right], 2))
                weighted_shape = (by_shape * trust).transpose(1, 2)
                own_information = weighted_shape @ by_shape - coupling.transpose(1, 2) @ solved[..., :-1]
                own_pull = (weighted_shape @ left - coupling.transpose(1, 2) @ solved[..., -1:])[..., 0]
                information = torch.eye(components, device=marks.device).repeat(sets, 1, 1)
                information = information.index_add(0, set_of, own_information)
                pull = (-shape).index_add(0, set_of, own_pull)
                by_set = torch.linalg.solve(information, pull)
                shape = (shape + by_set).clamp(-4, 4)
                change = solved[..., -1] - (solved[..., :-1] @ by_set[set_of][..., None])[..., 0]
                moods = (moods + change[:, 6:]).clamp(-4, 4)
            view = _moved(view, change[:, :6])
        moved = torch.einsum("ne,elc->nlc", moods, self.expressions)
        return view, shape, moved, information, -solved[:, :6, :-1]

    def _of_shape(self, shape: Tensor) -> Tensor:
        """(G, L, 3) points of shapes (G, K), relative to the pivot."""
        return self.points + torch.einsum("gk,klc->glc", shape, self.people)

    def _jacobian(self, view: View, points: Tensor) -> tuple[Tensor, Tensor]:
        """Derivatives of the projections: (N, L, 2, 6) by turn and shift, (N, L, 2, 3) by the points in the view."""
        turned = points @ view.rotation.transpose(1, 2)
        x, y, z = (turned + view.translation[:, None] + turned.new_tensor(LAP_PIVOT)).unbind(-1)
        zero, scale = torch.zeros_like(x), self.focal / z
        rows = torch.stack(
            [torch.stack([scale, zero, -scale * x / z], -1), torch.stack([zero, scale, -scale * y / z], -1)], 2
        )
        return torch.cat([-rows @ cross_matrix(turned), rows], -1), rows

    def _beside(self, marks: Tensor, view: View, points: Tensor) -> Tensor:
        """(N, L, 2) reprojection error of points (N, L, 3) in their views: mark minus projection, in sides."""
        placed = points @ view.rotation.transpose(1, 2) + view.translation[:, None] + points.new_tensor(LAP_PIVOT)
        return marks[..., :2] - 0.5 - self.focal * placed[..., :2] / placed[..., 2:]

    def _first_view(self, places: Tensor, weight: Tensor) -> View:
        """Scaled orthographic views of the mean face for image points (N, L, 2), in sides from the middle."""
        points = torch.cat([self.points, torch.ones_like(self.points[:, :1])], 1)  # (L, 4)
        weight = weight / weight.mean(1, keepdim=True)
        matrix = torch.einsum("lc,nl,ld->ncd", points, weight, points)
        matrix = matrix + 1e-6 * torch.diag_embed(matrix.diagonal(dim1=1, dim2=2))
        affine = torch.linalg.solve(matrix, torch.einsum("lc,nl,nlr->ncr", points, weight, places)).transpose(1, 2)
        u, size, vh = torch.linalg.svd(affine[..., :3], full_matrices=False)
        rows = u @ vh  # (N, 2, 3)
        rotation = torch.cat([rows, torch.linalg.cross(rows[:, 0], rows[:, 1])[:, None]], 1)
        depth = self.focal / size.mean(1).clamp(min=1e-3)
        shift = affine[..., 3] * (depth / self.focal)[:, None]
        return View(rotation, torch.cat([shift, depth[:, None] - LAP_PIVOT[2]], 1))


def _moved(view: View, change: Tensor) -> View:
    """Views after a step of turns and shifts (N, 6); step and depth are limited."""
    rotation = rotation_from_axis_angle(change[:, :3].clamp(-0.5, 0.5)) @ view.rotation
    translation = view.translation + change[:, 3:].clamp(-0.3, 0.3)
    depth = translation[:, 2:].clamp(min=_NEAREST - LAP_PIVOT[2])
    return View(rotation, torch.cat([translation[:, :2], depth], 1))


ALIGNED_CHANNELS = 7
"""Channels of ``aligned_pictures``: 3 colours, 1 mask of the photo's area, 3 of the normal in the camera's frame."""
_FIRST_SHARED = -4.0
"""Initial variance of the errors shared by all photos, before softplus: 0.02."""


@dataclass(frozen=True)
class Posterior:
    """Posterior of G faces' coefficients. mean : (G, K) in standard deviations of people. precision : (G, K, K)."""

    mean: Tensor
    precision: Tensor

    def surprise(self, truth: Tensor) -> Tensor:
        """(G,) negative log-likelihood of coefficients (G, K), per coefficient and without the constant."""
        factor = torch.linalg.cholesky(self.precision)
        wrong = ((truth - self.mean)[:, None] @ factor)[:, 0]  # (G, K)
        log_root = factor.diagonal(dim1=1, dim2=2).log()
        return (0.5 * wrong**2 - log_root).mean(1)


class PosteriorFusion(nn.Module):
    """Fuse the evidence of landmarks and pictures of any number of photos to a ``Posterior``."""

    def __init__(self, components: int) -> None:
        super().__init__()
        self.trust = nn.Parameter(torch.zeros(()))
        self.landmarks_alike = nn.Parameter(torch.full((components,), _FIRST_SHARED))
        self.pictures_alike = nn.Parameter(torch.full((components,), _FIRST_SHARED))

    def forward(self, evidence: LandmarkEvidence, codes: Tensor, logits: Tensor, set_of: Tensor) -> Posterior:
        """``codes`` (N, K) and ``logits`` (N, K) of their precisions come from the pictures. ``set_of`` (N,) : index of
        each photo's set, from 0."""
        sets, components = int(set_of.max()) + 1, codes.shape[1]
        codes, precision = codes.float(), functional.softplus(logits.float())
        trust = self.trust.exp()

        def summed(values: Tensor) -> Tensor:
            return values.new_zeros(sets, *values.shape[1:]).index_add(0, set_of, values)

        information = trust * summed(evidence.information)
        pull = trust * summed(evidence.pull)
        alike = functional.softplus(self.landmarks_alike)
        unit = torch.eye(components, device=codes.device)
        both = torch.cat([information, pull[..., None]], 2)
        both = torch.linalg.solve(unit + information * alike, both)  # (I^-1 + alike)^-1, also for a singular I
        information, pull = both[..., :-1], both[..., -1]
        seen, seen_pull = summed(precision), summed(precision * codes)
        share = 1 / (1 + functional.softplus(self.pictures_alike) * seen)
        total = unit + (information + information.transpose(1, 2)) / 2 + torch.diag_embed(seen * share)
        mean = torch.linalg.solve(total, pull + seen_pull * share)
        return Posterior(mean, total)


def aligned_pictures(pictures: Tensor, depth: Tensor, evidence: LandmarkEvidence) -> Tensor:
    """Pictures (N, 3, S, S) in [-1, 1] sampled onto faces of canonical depth (N, S, S) in the landmarks' views:
    (N, ``ALIGNED_CHANNELS``, S, S). The same pixel then shows the same part of the face in every picture."""
    camera = CanonicalCamera(tuple(depth.shape[-2:]))
    grid = view_grid(depth, evidence.view, camera)
    colours = functional.grid_sample(pictures, grid, mode="bilinear", padding_mode="border", align_corners=False)
    inside = (grid.abs() <= 1).all(-1).to(colours)[:, None]
    normals = normals_from_depth(depth, camera).flatten(1, 2) @ evidence.view.rotation.transpose(1, 2)
    normals = normals.view(*depth.shape, 3).permute(0, 3, 1, 2)
    return torch.cat([colours, inside, normals], 1)
