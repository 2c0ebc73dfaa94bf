"""The landmark net: 478 points of the face's surface in a picture, each with a standard deviation, in windows around a
detected face.

A residual network (He et al. 2016) predicts all points at once from an upright window. Then, twice, each point samples
the features around its place, corrects itself, and sends a message to all others. Deviations are learned by the
likelihood of the errors (Wood et al., 3D Face Reconstruction with Dense Landmarks, ECCV 2022, eq. 1). The points are
those of the template's ``landmarks478`` that it was trained with (``net_points``), hidden ones too: they keep their
place on the surface when the head turns.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from backend.errors import LikenessError
from backend.geometry.template import LandmarkEmbedding, load_template
from backend.models.checkpoints import LoadedNetwork, ModelWeights, NetworkConfig, load_model
from backend.models.registry import LANDMARK_NET
from backend.photos.collection import PhotoFace, SurfaceLandmarks
from backend.photos.faces import DetectedFace, Window, landmark_window, mean_landmarks
from backend.photos.regions import FACE_OVAL
from backend.rendering.camera import LAP_PIVOT, CanonicalCamera, View, cross_matrix, rotation_from_axis_angle

LANDMARKS = 478
WINDOW_PER_FACE = 1.25
"""Side of the net's window, relative to the larger extent of the face's landmarks."""
SEEN = 64
"""Number of features of a point's surroundings."""


@dataclass(frozen=True)
class LandmarkNetConfig(NetworkConfig):
    """Size of the net.

    Attributes
    ----------
    widths : channels at 1/2, 1/4, 1/8 and 1/16 of the input's size, and those at 1/32.
    depths : residual blocks at 1/4, 1/8, 1/16 and 1/32.
    size : side of the square input in pixels, a multiple of 16.
    hidden : width of the layer before the first prediction. squeeze : its input channels per place.
    embedding : size of the embedding that identifies a point for the correcting layers.
    rounds : number of corrections.
    message : size of a point's message to the others in a round.
    deep : whether points sample the features at 1/16 too, for context.
    impression : size of the impression that the expression reader takes, when it is not the hidden features themselves.
    """

    widths: tuple[int, int, int, int, int] = (32, 48, 96, 160, 224)
    depths: tuple[int, int, int, int] = (2, 2, 2, 2)
    size: int = 112
    hidden: int = 256
    squeeze: int = 64
    embedding: int = 32
    rounds: int = 2
    message: int = 4
    deep: bool = False
    impression: int = 0

    def __post_init__(self) -> None:
        if self.size % 16 or self.size < 32:
            raise ValueError(f"size must be a multiple of 16, not {self.size}")
        if min(*self.widths, *self.depths, self.hidden, self.squeeze, self.embedding, self.message) < 1:
            raise ValueError("widths, depths, hidden, squeeze, embedding and message must be at least 1")
        if self.rounds < 0:
            raise ValueError(f"rounds must be at least 0, not {self.rounds}")


@lru_cache(maxsize=2)
def net_points(folder: Path | None = None) -> LandmarkEmbedding:
    """The points on the template's surface that the shipped net (or that in ``folder``) was trained on; the template's
    own ``landmarks478`` where there is no net."""
    embedding478 = load_template().landmarks478
    try:
        taught = load_model(LANDMARK_NET.name, folder).config.get("points")
    except LikenessError:
        return embedding478
    if taught is None:
        return embedding478
    vertices, barycentrics = np.array(taught["vertices"], np.int32), np.array(taught["barycentrics"], np.float32)
    return LandmarkEmbedding(vertices, barycentrics, embedding478.deviation, embedding478.valid)


def points_to_json(points: LandmarkEmbedding) -> dict[str, Any]:
    """Configuration entry of an exported model for ``net_points``."""
    return {"points": {"vertices": points.vertices.tolist(), "barycentrics": points.barycentrics.tolist()}}


@dataclass(frozen=True)
class LandmarkGuess:
    """The net's prediction for N pictures.

    Attributes
    ----------
    places : (N, 478, 2) in sides of the picture, from its upper left corner, x right, y down. deviation : (N, 478)
        standard deviation of x and of y, in sides.
    hidden : (N, H) features of the whole picture so far. seen : (N, 478, ``SEEN``) last features of the points, None
        before the first correction. Both are for auxiliary training. impression : (N, I) for the expression reader.
    """

    places: Tensor
    deviation: Tensor
    hidden: Tensor
    seen: Tensor | None
    impression: Tensor


class _Residual(nn.Module):
    """Two 3 x 3 convolutions and a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(outputs)
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else nn.Conv2d(inputs, outputs, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        y = functional.relu(self.first_norm(self.first(x)))
        return functional.relu(self.second_norm(self.second(y)) + self.shortcut(x))


class LandmarkNet(nn.Module):
    """Pictures (N, 3, S, S) in [0, 1], sRGB, of ``config.size``, to the first prediction and its corrections."""

    def __init__(self, config: LandmarkNetConfig, mean: Tensor | None = None) -> None:
        """mean : (478, 2) average places of the points, in sides; otherwise loaded with the weights."""
        super().__init__()
        self.config = config
        widths = config.widths
        self.stem = nn.Conv2d(3, widths[0], 3, 2, 1, bias=False)
        self.stem_norm = nn.BatchNorm2d(widths[0])
        self.levels = nn.ModuleList()
        for before, width, depth in zip(widths, widths[1:], config.depths, strict=False):
            blocks = [
                _Residual(before if block == 0 else width, width, 2 if block == 0 else 1) for block in range(depth)
            ]
            self.levels.append(nn.Sequential(*blocks))
        cells = (-(-config.size // 32)) ** 2
        self.squeeze = nn.Conv2d(widths[4], config.squeeze, 1)
        self.hidden = nn.Linear(config.squeeze * cells, config.hidden)
        self.guess = nn.Linear(config.hidden, 3 * LANDMARKS)
        self.fine, self.coarse = nn.Conv2d(widths[1], 48, 1), nn.Conv2d(widths[2], 48, 1)
        self.which = nn.Parameter(torch.randn(LANDMARKS, config.embedding) * 0.5)
        if config.deep:
            self.deep = nn.Conv2d(widths[3], 48, 1)
        if config.impression:
            self.impression = nn.Linear(config.hidden, config.impression)
        looks = 5 * 48 + (2 if config.deep else 1) * 48 + config.embedding + 64
        self.context = nn.Linear(config.hidden, 64)
        self.correct = nn.ModuleList(
            nn.Sequential(nn.Linear(looks, 128), nn.ReLU(), nn.Linear(128, SEEN), nn.ReLU(), nn.Linear(SEEN, 3))
            for _ in range(config.rounds)
        )
        self.say = nn.ModuleList(nn.Linear(SEEN, config.message) for _ in range(config.rounds))
        self.listen = nn.ModuleList(nn.Linear(LANDMARKS * config.message, config.hidden) for _ in range(config.rounds))
        self.register_buffer("mean", torch.full((LANDMARKS, 2), 0.5) if mean is None else mean.clone())
        with torch.no_grad():
            for layer in (self.guess, *self.listen, *(each[-1] for each in self.correct)):
                layer.weight.mul_(0.1)
                layer.bias.zero_()

    def forward(self, pictures: Tensor) -> list[LandmarkGuess]:
        """The first prediction, then one for every round; the last is the best.

        Raises ``ValueError`` for wrong shapes.
        """
        side = self.config.size
        if pictures.dim() != 4 or pictures.shape[1:] != (3, side, side):
            raise ValueError(f"pictures must be (N, 3, {side}, {side}), not {tuple(pictures.shape)}")
        x = functional.relu(self.stem_norm(self.stem((pictures - 0.45) * 4.0)))
        scales = []
        for level in self.levels:
            x = level(x)
            scales.append(x)
        hidden = functional.relu(self.hidden(self.squeeze(x).flatten(1)))
        offsets = self._all_points(hidden, self.guess.bias)
        points, spread = self.mean + offsets[..., :2], offsets[..., 2]
        guesses = [self._as_guess(points, spread, hidden, None)]
        fine, context_maps = self.fine(scales[0]), [self.coarse(scales[1])]
        if self.config.deep:
            context_maps.append(self.deep(scales[2]))
        which = self.which[None].expand(len(pictures), -1, -1)
        for correct, say, listen in zip(self.correct, self.say, self.listen, strict=True):
            context = self.context(hidden)[:, None].expand(-1, LANDMARKS, -1)
            around = _sampled(fine, points.detach(), 1.0)
            for features in context_maps:
                around = around + _sampled(features, points.detach(), 0.0)
            context_features = correct[:-1](torch.cat([*around, which.to(fine.dtype), context.to(fine.dtype)], -1))
            message = listen(functional.relu(say(context_features)).flatten(1))
            offsets, more = self._all_points(message), correct[-1](context_features).float()
            points = points + offsets[..., :2] + 0.02 * more[..., :2]
            spread = spread + offsets[..., 2] + more[..., 2]
            hidden = hidden + message
            guesses.append(self._as_guess(points, spread, hidden, context_features))
        return guesses

    def _all_points(self, hidden: Tensor, bias: Tensor | None = None) -> Tensor:
        """(N, 478, 3) offsets of places, and log deviations; in float32, because bfloat16's steps would be 0.1 % of a
        face."""
        kind = hidden.device.type
        with torch.autocast(kind, enabled=False) if torch.amp.is_autocast_available(kind) else nullcontext():
            values = functional.linear(hidden.float(), self.guess.weight.float(), bias).view(-1, LANDMARKS, 3)
        return values * values.new_tensor([0.1, 0.1, 1.0])

    def _as_guess(self, points: Tensor, spread: Tensor, hidden: Tensor, features: Tensor | None) -> LandmarkGuess:
        impression = self.impression(hidden) if self.config.impression else hidden
        return LandmarkGuess(points, 0.02 * torch.exp(spread.clamp(-4.0, 3.0)), hidden, features, impression)


def _sampled(features: Tensor, points: Tensor, step: float) -> list[Tensor]:
    """Sample features (N, C, H, W) at points (N, L, 2) in sides, and ``step`` cells to the left, right, above and below
    where it is not 0; (N, L, C) each."""
    side = features.shape[-1]
    offsets = [(0.0, 0.0)] + ([(-step, 0.0), (step, 0.0), (0.0, -step), (0.0, step)] if step else [])
    samples = []
    for offset in offsets:
        grid = 2.0 * (points + points.new_tensor(offset) / side) - 1.0
        looked = functional.grid_sample(
            features.float(), grid[:, :, None], mode="bilinear", padding_mode="border", align_corners=False
        )
        samples.append(looked[..., 0].transpose(1, 2).to(features.dtype))
    return samples


_FIRST = ((1.0, 0.0, False),)
_VARIANTS = ((0.96, -0.05, False), (0.96, 0.05, True), (1.04, 0.05, False), (1.04, -0.05, True))
"""Factors of the window's side, radians, mirrored: the mean over them hardly depends on the window's exact place."""

_NEAR = ((0.96, 0.05, False), (1.04, -0.05, True))

_BOX_WINDOWS = (1.35, 1.7)
"""Sides of the first windows around a detected box, per side of the box, which reaches from the brows to the chin."""


class SurfaceLandmarker(LoadedNetwork[LandmarkNet]):
    """The trained net for photographs."""

    model = LANDMARK_NET
    network_type, config_type = LandmarkNet, LandmarkNetConfig

    @classmethod
    def build(cls, weights: ModelWeights) -> LandmarkNet:
        return super().build(weights).to(memory_format=torch.channels_last)

    def find_in_box(self, pixels: np.ndarray, face: DetectedFace) -> SurfaceLandmarks:
        """Points of a face known only by its box, in a picture (H, W, 3) uint8 sRGB. Tries a window rotated like the
        box, whose angle is unreliable in profiles, and an upright one; returns the result with the lower deviation."""
        turned = zip(_BOX_WINDOWS, (face.angle, 0.0), strict=True)
        windows = [Window(face.centre, size * face.side, angle) for size, angle in turned]
        answers = [self.find(pixels, self._look(pixels, window, _FIRST).positions) for window in windows]
        return min(answers, key=lambda one: float(np.median(one.deviation) / np.ptp(one.positions, axis=0).max()))

    def find(self, pixels: np.ndarray, landmarks: np.ndarray) -> SurfaceLandmarks:
        """Points of the face with detected ``landmarks`` (478, 2 or 3) in a picture (H, W, 3) uint8 sRGB.

        The first window is around these, the others around the net's own result, so that the result hardly depends on
        the detector.
        """
        return self.find_in(pixels, landmark_window(landmarks, WINDOW_PER_FACE))

    def find_in(self, pixels: np.ndarray, window: Window) -> SurfaceLandmarks:
        """The same from a known first window (about ``WINDOW_PER_FACE`` times as large as the face)."""
        first = self._look(pixels, window, _FIRST)
        return self._look(pixels, landmark_window(first.positions, WINDOW_PER_FACE), _VARIANTS)

    def find_near(self, pixels: np.ndarray, window: Window) -> SurfaceLandmarks:
        """The same from two passes over a window that is nearly right: less accurate, in a fifth of the time."""
        return self._look(pixels, window, _NEAR)

    def impression(self, pixels: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
        """(2, I) features of the whole face with points (478, 2), and of its mirror image
        (``LandmarkGuess.impression``)."""
        cut = landmark_window(landmarks, WINDOW_PER_FACE).cut(pixels, self.network.config.size)
        return self._guess(np.stack([cut, cut[:, ::-1]])).impression.cpu().double().numpy()

    @torch.inference_mode()
    def _guess(self, cuts: np.ndarray) -> LandmarkGuess:
        """The last prediction for cut windows (N, S, S, 3) uint8."""
        pictures = torch.from_numpy(cuts).to(self.device).permute(0, 3, 1, 2).float() / 255.0
        return self.network(pictures.contiguous(memory_format=torch.channels_last))[-1]

    def _look(
        self, pixels: np.ndarray, window: Window, variants: tuple[tuple[float, float, bool], ...]
    ) -> SurfaceLandmarks:
        """Mean over variants of a window; the variance is that of the mixture of their predictions: the mean of the
        predicted variances and the variance between the windows."""
        size, mirror = self.network.config.size, mean_landmarks().mirror
        windows = [
            Window(window.centre, window.side * scale, window.angle + turn, flipped)
            for scale, turn, flipped in variants
        ]
        guess = self._guess(np.stack([one.cut(pixels, size) for one in windows]))
        outcomes = zip(windows, *(one.cpu().double().numpy() for one in (guess.places, guess.deviation)), strict=True)
        points, variances = [], []
        for one, point, deviation in outcomes:
            order = mirror if one.flipped else slice(None)
            points.append(one.to_picture(point, 1)[order])
            variances.append((one.side * deviation[order]) ** 2)
        return SurfaceLandmarks(np.mean(points, 0), np.sqrt(np.mean(variances, 0) + np.var(points, 0).mean(-1)))


def surface_landmarker(device: str = "cpu") -> SurfaceLandmarker | None:
    """The shipped net; None where there is none. Raises ``DamagedFileError``."""
    return LANDMARK_NET.find(device)


def inside_by_net(detected: np.ndarray, surface: SurfaceLandmarks) -> np.ndarray:
    """Landmarks (478, 3) float32: the detector's outline and depths, and inside of it the net's places. The detector's
    lids and lips hardly move, and it has no irises."""
    landmarks, inside = detected.astype(np.float32), np.setdiff1d(np.arange(LANDMARKS), FACE_OVAL)
    landmarks[inside, :2] = surface.positions[inside]
    return landmarks


def marks_in(faces: Sequence[PhotoFace], windows: Sequence[Window]) -> Tensor:
    """(N, 478, 3) the landmark net's points: x, y and standard deviation, in sides of the faces' windows.

    Raises ``ValueError`` for a face without them.
    """
    rows = []
    for face, window in zip(faces, windows, strict=True):
        if face.surface is None:
            raise ValueError(f"{face.name} has no points of the landmark net")
        points = window.from_picture(face.surface.positions, 1.0)
        rows.append(np.column_stack([points, face.surface.deviation / window.side]))
    return torch.from_numpy(np.stack(rows)).float()


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


class LandmarkFace(nn.Module):
    """Marks (N, 478, 3), x, y and standard deviation in sides of a picture, to shapes, views and features.

    Attributes
    ----------
    width : number of features of a photo.
    """

    def __init__(self, size: int, components: int) -> None:
        super().__init__()
        self.focal = CanonicalCamera((size, size)).focal / size  # in sides
        inputs = 2 * components + 12 + _SPREADS
        self.width = inputs + _HIDDEN
        self.register_buffer("points", torch.zeros(LANDMARKS, 3))  # of the mean face, relative to the pivot
        self.register_buffer("people", torch.zeros(components, LANDMARKS, 3))
        self.register_buffer("expressions", torch.zeros(EXPRESSIONS, LANDMARKS, 3))
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

    def features(self, marks: Tensor) -> Tensor:
        """(N, width) features of each photo."""
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
                derivatives, by_shape = by_view, None
            else:
                turned = rows @ view.rotation[:, None]  # (N, L, 2, 3) by points of the face
                derivatives = torch.cat([by_view, torch.einsum("nlrc,elc->nlre", turned, self.expressions)], -1)
                by_shape = torch.einsum("nlrc,klc->nlrk", turned, self.people).flatten(1, 2)
            derivatives = derivatives.flatten(1, 2)  # (N, 2L, 6 or 6 + E)
            count = derivatives.shape[-1]
            weighted = (derivatives * trust).transpose(1, 2)
            matrix = weighted @ derivatives + torch.diag(prior[:count])
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
