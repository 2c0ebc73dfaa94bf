"""Stage ``graph_face``: the graph face model, trained on shapes alone or on photos; its losses (the equations of
section 4.2 of Gao et al., CVPRW 2020) with their weights, and the encoders of shapes that train the decoder.

Shapes (B, C, 3) are in metres, their differences in millimetres; places (B, L, 2) in sides of the picture, their
differences in per cent of it; colours (B, C, 3) in [0, 1].
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from backend.geometry.mesh_hierarchy import MeshHierarchy, load_mesh_hierarchy, spread
from backend.geometry.template import LandmarkEmbedding, load_template
from backend.geometry.vectors import vertex_normals
from backend.models import graph_face
from backend.models.mobile_trunk import trainable_state
from backend.models.registry import GRAPH_FACE
from backend.photos.faces import MESH_COUNT
from backend.rendering.color import linear_from_srgb, srgb_from_linear
from backend.rendering.rasterize import face_ids
from backend.rendering.spherical_harmonics import shade
from trainer.engine import contracts
from trainer.methods.graph_face import data
from trainer.people.shape import CarriedExpressions, points_on

_MM = 1000.0
_PER_CENT = 100.0
_CODERS = (16, 16, 32, 64)
"""Channels of the shape encoder's convolutions, fine to coarse."""


def classification(logits: Tensor, person: Tensor) -> Tensor:
    """L_soft of equation 4: softmax loss of logits (B, P) for people (B,)."""
    return functional.cross_entropy(logits.float(), person)


def centre_distance(identity: Tensor, centres: Tensor, person: Tensor) -> Tensor:
    """L_center of equation 4 (Wen et al. 2016): half the mean squared distance of codes (B, D) from the centres (P, D)
    of their people (B,)."""
    return 0.5 * (identity - centres[person]).square().sum(1).mean()


def photometric(drawn: Tensor, shown: Tensor, mask: Tensor, edges: Tensor) -> Tensor:
    """Equation 5 at the mesh's vertices: squared difference of rendered and photo colours (B, C, 3), and of their
    gradients along edges (E, 2), weighted by a mask (B, C) in [0, 1] of the visible face.

    The paper compares pixels. On faces of a hundred pixels vertices are as dense as pixels and need no rasterizer.
    """
    colours = (mask * (drawn - shown).square().sum(-1)).sum() / mask.sum().clamp(min=1.0)
    start, stop = edges[:, 0], edges[:, 1]
    both = mask[:, start] * mask[:, stop]
    slope = (drawn[:, stop] - drawn[:, start]).abs() - (shown[:, stop] - shown[:, start]).abs()
    return colours + (both * slope.abs().sum(-1)).sum() / both.sum().clamp(min=1.0)


def landmark_distance(predicted: Tensor, truth: Tensor) -> Tensor:
    """Equation 6: squared distances of landmarks (B, L, 2), and of the vectors from each landmark to all others, in per
    cent of the picture."""
    apart = _PER_CENT * (predicted - truth)
    ways = apart[:, :, None] - apart[:, None]
    return apart.square().sum(-1).mean() + ways.square().sum(-1).mean()


def shape_difference(predicted: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    """Equations 7 and 8: mean absolute difference of shapes, millimetres, weighted by vertices (C,)."""
    return _MM * ((predicted - truth).abs().sum(-1) * weight).sum() / (weight.sum() * len(predicted))


def smoothness(predicted: Tensor, template: Tensor, laplacian: Callable[[Tensor], Tensor]) -> Tensor:
    """Equation 9: each vertex's offset from the mean of its neighbours, relative to the template's (C, 3), millimetres.

    laplacian : maps (B, C, 3) to each vertex minus the mean of its neighbours.
    """
    return _MM * (laplacian(predicted) - laplacian(template[None])).abs().sum(-1).mean()


def plain_smoothness(predicted: Tensor, laplacian: Callable[[Tensor], Tensor]) -> Tensor:
    """Conventional Laplacian smoothness, for the ablation: the offset itself, millimetres."""
    return _MM * laplacian(predicted).abs().sum(-1).mean()


def asymmetry(albedo: Tensor, mirror: Tensor) -> Tensor:
    """Equation 10: mean absolute difference of colours (B, C, 3) from those of the mirror vertices (C,)."""
    return (albedo - albedo[:, mirror]).abs().mean()


def critic_divergence(
    critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, factor: float = 2.0, power: float = 6.0
) -> Tensor:
    """Critic loss of equation 11 (WGAN-div, Wu et al. 2018): its value on real shapes minus that on fake ones, plus a
    penalty of factor times the mean power of its gradient's norm between them.

    critic : maps shapes (B, C, 3) to (B,), larger for shapes that look real. The sign is opposite to the paper's so
    that
        both networks minimise. factor, power : k and p of Wu et al.
    """
    share = torch.rand(len(real), 1, 1, device=real.device)
    between = (share * real + (1 - share) * fake).detach().requires_grad_(True)
    (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    penalty = slope.flatten(1).norm(dim=1).pow(power).mean()
    return critic(fake.detach()).mean() - critic(real).mean() + factor * penalty


class ShapeCoder(nn.Module):
    """Encodes shapes (B, C, 3) in units to codes (B, D): convolutions, with pooling to the vertices that the next level
    keeps (COMA's encoder)."""

    def __init__(self, hierarchy: MeshHierarchy, code: int, order: int) -> None:
        super().__init__()
        levels = hierarchy.levels
        self.convolutions = nn.ModuleList()
        inputs = 3
        for number, outputs in enumerate(_CODERS):
            laplacian = graph_face.scaled_laplacian(levels[number])
            self.convolutions.append(graph_face.ChebyshevConvolution(laplacian, inputs, outputs, order))
            rows = np.searchsorted(levels[number].vertices, levels[number + 1].vertices)
            self.register_buffer(f"kept{number}", torch.from_numpy(rows), persistent=False)
            inputs = outputs
        self.last = nn.Linear(len(levels[len(_CODERS)].vertices) * inputs, code)

    def forward(self, shapes: Tensor) -> Tensor:
        """See the class."""
        x = shapes
        for number, convolution in enumerate(self.convolutions):
            x = functional.elu(convolution(x))[:, getattr(self, f"kept{number}")]
        return self.last(x.flatten(1)).float()


class LinearCoder(nn.Module):
    """Codes of shapes by principal components, which become the network's linear part; it is not trained."""

    def __init__(self, net: graph_face.GraphFaceNet, people: int, shapes: contracts.SourceConfig) -> None:
        """shapes : the source whose first ``people`` the components are computed from."""
        super().__init__()
        linear = data.linear_faces(net.config.identity, net.config.expression, people, shapes)
        count = net.mean.numel()
        parts = np.concatenate([linear.identity, linear.expression])
        modes = torch.from_numpy(parts.reshape(-1, count)) / graph_face.UNIT
        with torch.no_grad():
            net.basis.copy_(modes)
        for name, part in (("who", modes[: net.config.identity]), ("what", modes[net.config.identity :])):
            self.register_buffer(name, torch.linalg.pinv(part), persistent=False)

    def forward(self, neutral: Tensor, moved: Tensor) -> tuple[Tensor, Tensor]:
        """Encode offsets (B, C, 3) in units, of the neutral face from the template's and of the posed one from the
        neutral, to codes (B, D) and (B, E)."""
        return neutral.flatten(1) @ self.who, moved.flatten(1) @ self.what


@dataclass(frozen=True)
class GraphFaceWeights:
    """Weights of the loss terms: those with an equation in paper 2, and ours."""

    shape: float = 1.0
    """Equation 7, with the photo's expression and without, millimetres."""
    pair: float = 0.5
    """Equation 8: the identity of one photo with the expression of the next."""
    together: float = 1.0
    """Ours: the neutral shape from the mean identity of a person's photos, millimetres; it trains the confidence."""
    codes: float = 0.3
    """Ours: mean squared difference of the codes from the true shape's in the linear part, in standard deviations."""
    smooth: float = 0.1
    """Equation 9, millimetres. At 2, the error of motions is twice as large as at 0, because it pulls towards the
    template."""
    plain_smooth: float = 0.0
    """The conventional smoothness, for the ablation."""
    classification: float = 0.1
    """Equation 4, the first term."""
    centre: float = 0.02
    """Equation 4, the second."""
    photometric: float = 2.0
    """Equation 5."""
    landmarks: float = 0.0005
    """Equation 6. Its gradient at the start is then a quarter of the shape's; at 0.02 it was a hundred times that."""
    place: float = 0.02
    """Ours: distance in the picture of all vertices of the face from their true places, per cent, with the true shape;
    it
    trains the pose."""
    albedo: float = 2.0
    """Ours: difference of visible colours from the true ones; the paper has no labels for them."""
    symmetry: float = 0.5
    """Equation 10."""
    light: float = 0.2
    """Ours: difference of the shading from the true light's."""
    adversary: float = 0.0
    """Equation 11, the generator's part."""
    size: float = 0.001
    """Ours: mean square of the codes, so that they stay near a normal distribution."""


_OUTSIDE_WEIGHT = 0.15
"""Weight of vertices outside the face. Photo fits do not use them, but they must stay attached."""


@dataclass(frozen=True, kw_only=True)
class GraphFaceStageConfig(contracts.StageConfig):
    """Trains ``backend.models.graph_face.GraphFaceNet``; shapes alone train the shape decoder."""

    network: graph_face.GraphFaceConfig = field(default_factory=graph_face.GraphFaceConfig)
    """Size of the networks."""
    weights: GraphFaceWeights = field(default_factory=GraphFaceWeights)
    """Weights of the loss terms."""
    people: int = 0
    """Number of the source's people for the identity classification; 0: none."""
    basis_people: int = 0
    """Number of people whose shapes initialise the linear part, which encodes shapes; 0: it comes from the previous
    stage."""
    reference_people: int = 128
    """Number of the source's people for measuring the landmark net's errors."""
    adversary: contracts.OptimizerConfig | None = None
    """Optimizer of the critic; None: no critic."""
    mirror: bool = True
    """Mirror half of the photos, as in the paper."""
    zoom: tuple[float, float] = (1.0, 1.0)
    """Range of random scale factors, at most 1, of the photos' content; the paper's is 0.8 to 1."""
    labelled: float = 1.0
    """Share of the people with known shapes whose labels are used, spread evenly over their numbers."""
    mask: bool = True
    """Limit the photometric term to the visible face; False: use all vertices inside the picture."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.zoom[0] <= self.zoom[1] <= 1:
            raise ValueError(f"zoom must be two ascending factors above 0 and at most 1, not {self.zoom}")
        if not 0 < self.labelled <= 1:
            raise ValueError(f"labelled must be above 0 and at most 1, not {self.labelled}")

    def build(self, device: torch.device) -> contracts.Stage:
        """See ``StageConfig``."""
        return GraphFaceStage(self, device)


class GraphFaceStage(contracts.Stage):
    """See ``GraphFaceStageConfig``."""

    SUMMARY: ClassVar[str] = (
        "Codes of identity, expression, pose and light of a face from one photo, and decoders from the codes to the "
        "head's shape and the colours of its skin."
    )
    LIMITS: ClassVar[str] = (
        "Trained on synthetic people only: faces of a linear model with bumps, with expressions adapted to each face. "
        "Its codes distinguish synthetic people and were not made for recognising real ones."
    )

    def __init__(self, config: GraphFaceStageConfig, device: torch.device) -> None:
        self.config = config
        network, template = config.network, load_template()
        hierarchy = load_mesh_hierarchy()
        order = network.order
        net = graph_face.GraphFaceNet(network, hierarchy)
        if network.trunk == "lite0":
            net.encoder.trunk.load_imagenet()
        modules: dict[str, nn.Module] = {"net": net}
        if config.basis_people:
            modules["linear"] = LinearCoder(net, config.basis_people, config.source)
        if config.people:
            modules["names"] = nn.Linear(network.identity, config.people, bias=False)
            modules["centres"] = nn.Embedding(config.people, network.identity)
            nn.init.zeros_(modules["centres"].weight)
        if config.adversary is not None:
            modules["critic"] = ShapeCoder(hierarchy, 1, order)
        self.modules = nn.ModuleDict(modules).to(device)
        count = template.head.vertex_stop
        level = hierarchy.levels[0]
        face = template.regions["face"][:count]
        self.face = torch.from_numpy(face > 0.5).to(device)
        self.weight = torch.from_numpy((_OUTSIDE_WEIGHT + (1 - _OUTSIDE_WEIGHT) * face).astype(np.float32)).to(device)
        self.edges = torch.from_numpy(level.edges).to(device)
        self.triangles = torch.from_numpy(level.faces).to(device)
        self.mirror_all = torch.from_numpy(template.mirror.astype(np.int64)).to(device)
        self.mirror = self.mirror_all[:count]
        marks = template.landmarks478
        each = (torch.from_numpy(one.positions(template.vertices)) for one in (template.landmarks68, marks))
        self._nearest = torch.cdist(*each)[:, :MESH_COUNT].argmin(1)
        self._found = LandmarkEmbedding(*(part[self._nearest] for part in vars(marks).values()))
        self._carried = CarriedExpressions(template, device)
        self._neighbours = graph_face.neighbour_means(level).to(device)
        self._linear_codes: tuple[Tensor, Tensor] | None = None

    def step(self, batch: data.GraphBatch, fraction: float) -> Mapping[str, Tensor]:
        """Compute the terms of ``GraphFaceWeights``; those of photos are zero for shapes alone."""
        net, config, weights = self.modules["net"], self.config, self.config.weights
        batch = self._varied(batch) if batch.photos is not None else batch
        count = len(net.mean)
        neutral, truth = batch.neutral[:, :count], batch.vertices
        codes = self._seen(batch)
        identity, expression = self._codes(batch) if codes is None else (codes.identity, codes.expression)
        told = self._told(batch)
        labelled = told.nonzero()[:, 0]
        others = labelled.roll(-1)
        every = net.shape(
            torch.cat([identity, identity, identity[labelled]]),
            torch.cat([expression, torch.zeros_like(expression), expression[others]]),
        )
        shapes, rest, exchanged = every.split([len(truth), len(truth), len(labelled)])
        zero = shapes.new_zeros(())
        terms = dict.fromkeys(GraphFaceWeights.__dataclass_fields__, zero)
        if len(labelled):
            moved = shape_difference(shapes[labelled], truth[labelled], self.weight)
            terms["shape"] = moved + shape_difference(rest[labelled], neutral[labelled], self.weight)
            if weights.pair:
                keys = batch.weights[others]
                posed = self._carried.posed(batch.neutral[labelled], keys.nan_to_num())[:, :count]
                summed = keys.isnan().any(1)[:, None, None]  # a face model's expression is added
                posed = torch.where(summed, neutral[labelled] + truth[others] - neutral[others], posed)
                terms["pair"] = shape_difference(exchanged, posed, self.weight)
        if weights.smooth:
            terms["smooth"] = smoothness(torch.cat([shapes, rest]), net.mean, self._laplacian)
        if weights.plain_smooth:
            terms["plain_smooth"] = plain_smoothness(torch.cat([shapes, rest]), self._laplacian)
        terms["size"] = identity.square().mean() + expression.square().mean()
        if config.people:
            terms["classification"] = classification(self.modules["names"](identity), batch.person)
            centres = self.modules["centres"].weight
            terms["centre"] = centre_distance(identity, centres, batch.person)
        if weights.adversary and "critic" in self.modules:
            terms["adversary"] = -self._judged(shapes).mean()
        if codes is not None:
            terms.update(self._photo_terms(batch, codes, shapes, told))
            if len(labelled):
                known = batch.person[told], neutral[told], truth[told]
                terms.update(self._person_terms(*known, codes.of(told)))
        return terms

    def _person_terms(
        self, person: Tensor, neutral: Tensor, truth: Tensor, codes: graph_face.GraphCodes
    ) -> dict[str, Tensor]:
        """Compute the terms that need a person's true shape."""
        net = self.modules["net"]
        photos = int((person == person[0]).sum())
        mean = graph_face.persons_identity(codes.identity.unflatten(0, (-1, photos)), codes.confidence.view(-1, photos))
        terms = {"together": shape_difference(net.neutral(mean), neutral[::photos], self.weight)}
        if net.basis is not None:
            if self._linear_codes is None:  # the basis is loaded with the weights, after the stage is built
                basis = net.basis.detach()
                parts = basis[: net.config.identity], basis[net.config.identity :]
                self._linear_codes = tuple(torch.linalg.pinv(part) for part in parts)
            who, what = self._linear_codes
            true = (
                ((neutral - net.mean) / graph_face.UNIT).flatten(1) @ who,
                ((truth - neutral) / graph_face.UNIT).flatten(1) @ what,
            )
            apart = (codes.identity - true[0]).square().mean() + (codes.expression - true[1]).square().mean()
            terms["codes"] = apart
        return terms

    def _seen(self, batch: data.GraphBatch) -> graph_face.GraphCodes | None:
        """Encode the photos; None for shapes alone. The first call sets the encoder's landmark reference."""
        if batch.photos is None:
            return None
        encoder = self.modules["net"].encoder
        marked, config = encoder.points, self.config
        if marked is not None and not marked.people.any():
            network, device = config.network, batch.neutral.device
            with torch.no_grad(), torch.autocast(device.type, enabled=False):
                people = config.source.build().batch(range(config.reference_people), device)
                marked.set_reference(data.landmark_shapes(network.size, network.landmarks, device), people.photos.marks)
        return encoder(batch.photos.images, batch.photos.marks)

    def _photo_terms(
        self, batch: data.GraphBatch, codes: graph_face.GraphCodes, shapes: Tensor, told: Tensor
    ) -> dict[str, Tensor]:
        """Compute the photos' terms. Those that need the true pose, colours or light use only people with labels,
        ``told`` (N,) bool; the photometric one takes place and visibility from the prediction."""
        net, weights, photos = self.modules["net"], self.config.weights, batch.photos
        visible = photos.seen * told[:, None].float()
        count = visible.sum().clamp(min=1)
        apart = 100.0 * (codes.pose.project(batch.vertices) - photos.places)[told][:, self.face].norm(dim=-1)
        places, marks68 = codes.pose.project(shapes), load_template().landmarks68
        known = [points_on(marks68, points) for points in (places, photos.places)]
        found = points_on(self._found, places), photos.marks[:, self._nearest, :2]
        marks = [torch.where(told[:, None, None], *both) for both in zip(known, found, strict=True)]
        albedo = net.albedo(codes.identity)
        shading = shade(vertex_normals(shapes, self.triangles), codes.light)
        true_shading = shade(vertex_normals(batch.vertices, self.triangles), photos.light)
        shown = functional.grid_sample(photos.images, 2 * places[:, :, None] - 1, align_corners=False)
        rendered = srgb_from_linear((linear_from_srgb(albedo.clamp(0.001, 1)) * shading).clamp(1e-4, 1))
        difference = visible * (shading.clamp(1e-3).log() - true_shading.clamp(1e-3).log()).abs().mean(-1)
        wrong = visible * (albedo - photos.albedo).abs().mean(-1)
        terms = {
            "place": apart.sum() / max(apart.numel(), 1),
            "landmarks": landmark_distance(*marks),
            "albedo": wrong.sum() / count,
            "light": difference.sum() / count,
            "symmetry": asymmetry(albedo, self.mirror),
        }
        if weights.photometric:
            colours = shown[..., 0].transpose(1, 2)
            mask = ((places > 0) & (places < 1)).all(-1)
            if self.config.mask:
                mask &= self._visible(shapes.detach(), codes.pose, photos.skin)
            terms["photometric"] = photometric(rendered, colours, mask.float(), self.edges)
        return terms

    @torch.no_grad()
    def _visible(self, shapes: Tensor, pose: graph_face.WeakPerspective, skin: Tensor) -> Tensor:
        """(N, C) bool, vertices of predicted shapes that face the camera in the predicted pose, behind nothing of the
        head, and fall on pixels of ``skin`` (N, S, S)."""
        size, turn = skin.shape[-1], pose.rotation().transpose(1, 2)
        away = 1 + (shapes @ turn)[..., 2:]  # metres; the camera is far before the head
        facing = (vertex_normals(shapes, self.triangles) @ turn)[..., 2] < 0
        points = torch.cat([size * pose.project(shapes), away], -1)
        ids = face_ids(points, self.triangles, (size, size)).flatten(1)
        front = away[:, self.triangles, 0].mean(-1).gather(1, ids.clamp(min=0)).masked_fill(ids < 0, torch.inf)
        column, row = points[..., :2].floor().long().clamp(0, size - 1).unbind(-1)
        pixel = row * size + column
        near = away[..., 0] < front.gather(1, pixel) + data.DEPTH_SLACK
        return facing & near & skin.flatten(1).gather(1, pixel)

    def _codes(self, batch: data.GraphBatch) -> tuple[Tensor, Tensor]:
        """Encode shapes: identity of the neutral face, expression of its motion; no motion has the code zero."""
        neutral = batch.neutral[:, : len(self.modules["net"].mean)]
        moved = (batch.vertices - neutral) / graph_face.UNIT
        if "linear" not in self.modules:
            raise ValueError("shapes alone need basis_people")
        return self.modules["linear"]((neutral - self.modules["net"].mean) / graph_face.UNIT, moved)

    def _varied(self, batch: data.GraphBatch) -> data.GraphBatch:
        """Augment the batch: mirror all of it or nothing, so that people keep one face in a batch, and reduce each
        photo by its own factor."""
        least, most = self.config.zoom
        if self.config.mirror and torch.rand(()) >= 0.5:
            batch = data.mirrored_batch(batch, self.mirror_all)
        if least == 1.0:
            return batch
        factors = least + (most - least) * torch.rand(len(batch.person)).to(batch.neutral.device)
        return data.smaller_batch(batch, factors)

    def turns(self) -> Sequence[contracts.Turn]:
        """The networks' turn, then the critic's if there is one."""
        turns = super().turns()
        config = self.config
        if config.adversary is None:
            return turns
        critic = tuple(self.modules["critic"].parameters())
        groups = (contracts.ParameterGroup("critic", critic, lambda fraction: 1.0),)
        weights = SimpleNamespace(divergence=1.0)
        return (*turns, contracts.Turn("critic", config.adversary, groups, self._critic_step, weights))

    def parameter_groups(self) -> Sequence[contracts.ParameterGroup]:
        """All trained weights except the critic's, and the linear part, which stays: noisy steps only worsen a basis of
        principal components (trained, its residual of motions doubled in 400 steps)."""
        basis = self.modules["net"].basis
        parameters = [p for name, part in self.modules.items() if name != "critic" for p in part.parameters()]
        others = tuple(p for p in parameters if p is not basis and p.requires_grad)
        fixed = () if basis is None else (contracts.ParameterGroup("basis", (basis,), lambda fraction: 0.0),)
        return (contracts.ParameterGroup("all", others, lambda fraction: 1.0), *fixed)

    def _critic_step(self, batch: data.GraphBatch, fraction: float) -> Mapping[str, Tensor]:
        net = self.modules["net"]
        with torch.no_grad():
            codes = self._seen(batch)
            identity, expression = self._codes(batch) if codes is None else (codes.identity, codes.expression)
            fake = net.shape(identity, expression)
        told = self._told(batch).nonzero()[:, 0]
        if not len(told):
            return {"divergence": 0.0 * self._judged(fake).sum()}
        known = told[torch.arange(len(fake), device=told.device) % len(told)]
        real = self._units(batch.vertices[known])
        return {"divergence": critic_divergence(self._judged_units, real, self._units(fake))}

    def _told(self, batch: data.GraphBatch) -> Tensor:
        """(N,) bool, photos whose labels are used."""
        return batch.told & data.labelled_people(batch.person, self.config.labelled)

    def _units(self, shapes: Tensor) -> Tensor:
        return (shapes - self.modules["net"].mean) / graph_face.UNIT

    def _judged(self, shapes: Tensor) -> Tensor:
        return self._judged_units(self._units(shapes))

    def _judged_units(self, units: Tensor) -> Tensor:
        return self.modules["critic"](units)[:, 0]

    def _laplacian(self, shapes: Tensor) -> Tensor:
        return shapes - spread(self._neighbours, shapes)

    def metrics(self, batches: Iterable[data.GraphBatch]) -> Mapping[str, float]:
        """Means over people. ``neutral``, ``moved`` : distance of the face's vertices from the truth, without and with
        expression, relative to the mean face (to no motion for ``moved``). With photos also ``person``: ``neutral``
        from the mean code of a person's photos."""
        net = self.modules["net"]
        sums: dict[str, list[float]] = {}
        for batch in batches:
            truth = batch.neutral[:, : len(net.mean)]
            codes = self._seen(batch)
            identity, expression = self._codes(batch) if codes is None else (codes.identity, codes.expression)
            rest, shapes = net.neutral(identity), net.shape(identity, expression)
            none = face_distance(net.mean.expand_as(truth), truth, self.face)
            sums.setdefault("neutral", []).extend((face_distance(rest, truth, self.face) / none).tolist())
            moved = face_distance(batch.vertices, truth, self.face)
            wrong = face_distance(shapes - rest, batch.vertices - truth, self.face)
            moving = moved > 0.0002  # a still face has no motion to compare
            sums.setdefault("moved", []).extend((wrong / moved)[moving].tolist())
            for person in batch.person.unique() if codes is not None else ():
                rows = batch.person == person
                mean = net.neutral(graph_face.persons_identity(identity[rows], codes.confidence[rows])[None])
                apart = face_distance(mean, truth[rows][:1], self.face) / none[rows][0]
                sums.setdefault("person", []).append(float(apart))
        return {name: sum(values) / max(len(values), 1) for name, values in sums.items()}

    def export(self) -> contracts.ExportedModel:
        """Export encoder and decoders, without the trunk's weights, which come from its package."""
        config, tensors = self.config.network, trainable_state(self.modules["net"])
        return contracts.ExportedModel(GRAPH_FACE.name, config.to_json(), tensors, self.SUMMARY, self.LIMITS)


def face_distance(first: Tensor, second: Tensor, face: Tensor) -> Tensor:
    """(B,) mean distance, metres, of the vertices of shapes (B, C, 3) selected by ``face`` (C,) bool."""
    return (first - second)[:, face].norm(dim=-1).mean(1)
