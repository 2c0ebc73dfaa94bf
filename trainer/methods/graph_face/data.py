"""Training data of the graph face model: shapes (``kind = "graph_shapes"``), photos with the truth of their faces
(``"graph_people"``), 300W-LP (``"graph_300w_lp"``), portraits without labels (``"graph_portraits"``); and the linear
model of drawn people.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from backend.geometry.template import load_template
from backend.models.landmarks import EXPRESSIONS, WINDOW_PER_FACE, LandmarkShapes, SurfaceLandmarker
from backend.photos.collection import FaceClass
from backend.photos.faces import Window, face_square
from backend.rendering.camera import project
from backend.rendering.color import srgb_from_linear
from protocol.names import ARKIT_INDEX, ARKIT_NAMES, mirrored_name
from trainer.engine.batch import BYTES, Batch, Coding, batch_field
from trainer.engine.contracts import Source, SourceConfig
from trainer.engine.disk_cache import SET_CARD, open_prepared
from trainer.methods.landmarks.data import landmark_mirror
from trainer.methods.lap.data import TruthMaker, class_mask
from trainer.people import shape
from trainer.people.camera import FACE_CROP
from trainer.people.mixtures import stored
from trainer.people.source import People, PeopleConfig
from trainer.portraits.collection import CacheSettings, PortraitsConfig, portrait_of

_MIRRORED_KEYS = [ARKIT_INDEX[mirrored_name(name)] for name in ARKIT_NAMES]
_MIRRORED_LIGHT = (1, 1, 1, -1, -1, 1, 1, -1, 1)
"""Signs of the basis functions of ``spherical_harmonics`` under mirroring in x."""

MARK_CODING = Coding(np.int16, levels=16384)
"""Of landmarks of the landmark net, in sides of the picture."""


@dataclass(frozen=True)
class GraphPhotos(Batch):
    """Content of N photos of S x S pixels. The head has C vertices; a vertex is visible where nothing occludes it.

    Attributes
    ----------
    images : (N, 3, S, S) float32 in [0, 1], sRGB, the square of ``backend.photos.faces.face_square``.
    places : (N, C, 2) position of the head's surface in the picture, in sides, x right, y down from the top left.
    albedo : (N, C, 3) sRGB in [0, 1]. seen : (N, C) bool: visible bare skin, brows or lips of the face; albedo
        is valid only there.
    light : (N, 9, 3) as in ``PeopleBatch``. marks : (N, 478, 3) landmarks found by the landmark net: x, y and standard
        deviation in sides. skin : (N, S, S) bool pixels of bare skin, brows or lips, as face parsing labels them.
    """

    images: Tensor = batch_field(coding=BYTES)
    places: Tensor = batch_field(coding=Coding(np.int16, levels=8192))
    albedo: Tensor = batch_field(coding=BYTES)
    seen: Tensor
    light: Tensor
    marks: Tensor = batch_field(coding=MARK_CODING)
    skin: Tensor


@dataclass(frozen=True)
class GraphBatch(Batch):
    """N faces of people, those of one person consecutive. Head frame, metres.

    Attributes
    ----------
    person : (N,) int64 number of the person. told : (N,) bool, the true shape and view are known.
    neutral : (N, V, 3) the template's cage without expression. weights : (N, 52) of the keys, NaN where the expression
    is no sum of keys. vertices : (N, C, 3) the head's cage with expression. photos : None for shapes alone.
    """

    person: Tensor
    told: Tensor
    neutral: Tensor = batch_field(coding=replace(shape.SHAPE_CODING, once=True))
    weights: Tensor
    vertices: Tensor = batch_field(coding=shape.SHAPE_CODING)
    photos: GraphPhotos | None


def mirrored_batch(batch: GraphBatch, mirror: Tensor) -> GraphBatch:
    """Mirror a batch. ``mirror`` (V,) int64 is the vertex across the median plane. People keep their numbers, so in the
    classification a face and its mirror image are one class. Raises ``ValueError`` for shapes without photos."""
    photos = batch.photos
    if photos is None:
        raise ValueError("shapes alone need no mirror: their source draws both sides alike")
    flip = batch.neutral.new_tensor([-1.0, 1.0, 1.0])
    head = mirror[: batch.vertices.shape[1]]
    points, marks = photos.places[:, head], photos.marks[:, landmark_mirror()]
    return replace(
        batch,
        neutral=batch.neutral[:, mirror] * flip,
        weights=batch.weights[:, _MIRRORED_KEYS],
        vertices=batch.vertices[:, head] * flip,
        photos=GraphPhotos(
            images=photos.images.flip(-1),
            places=points * points.new_tensor([-1.0, 1.0]) + points.new_tensor([1.0, 0.0]),
            albedo=photos.albedo[:, head],
            seen=photos.seen[:, head],
            light=photos.light * photos.light.new_tensor(_MIRRORED_LIGHT)[:, None],
            marks=marks * marks.new_tensor([-1.0, 1.0, 1.0]) + marks.new_tensor([1.0, 0.0, 0.0]),
            skin=photos.skin.flip(-1),
        ),
    )


def smaller_batch(batch: GraphBatch, factors: Tensor) -> GraphBatch:
    """Scale the content of photos by factors (N,) in (0, 1] around the pictures' centres; borders are repeated. Raises
    ``ValueError`` for shapes without photos."""
    photos = batch.photos
    if photos is None:
        raise ValueError("shapes alone have no pictures to make smaller")
    turn = torch.zeros(len(factors), 2, 3, device=factors.device)
    turn[:, 0, 0] = turn[:, 1, 1] = 1.0 / factors
    grid = functional.affine_grid(turn, list(photos.images.shape), align_corners=False)
    each = factors[:, None, None]
    marks = photos.marks.clone()
    marks[..., :2] = 0.5 + each * (marks[..., :2] - 0.5)
    marks[..., 2:] = each * marks[..., 2:]
    images = functional.grid_sample(photos.images, grid, padding_mode="border", align_corners=False)
    skin = functional.grid_sample(photos.skin[:, None].float(), grid, align_corners=False)[:, 0] > 0.5
    places = 0.5 + each * (photos.places - 0.5)
    return replace(batch, photos=replace(photos, images=images, places=places, marks=marks, skin=skin))


def labelled_people(person: Tensor, share: float) -> Tensor:
    """(N,) bool, which photos of people (N,) have labels: a share of them, evenly spread over their numbers."""
    numbers = person.double()
    return ((numbers + 1) * share).floor() > (numbers * share).floor()


SKIN = (FaceClass.SKIN, FaceClass.BROWS, FaceClass.LIPS)
DEPTH_SLACK = 0.006
"""Metres that a vertex may lie behind the depth map and still count as visible, because cage and surface differ."""
_MADE_AT_ONCE = 8


@dataclass(frozen=True, kw_only=True)
class GraphShapesConfig(SourceConfig):
    """An endless sequence of people's shapes with expressions, without photos; an index is a person."""

    seed: int = 0
    """Another seed gives other people."""
    expressions: int = 2
    """Number of expressions per person."""
    folder: str = ""
    """A prepared set ``flame`` whose heads are the people, in its order, again and again; empty: drawn ones."""

    def build(self) -> Source:
        """Make the source."""
        return GraphShapes(self)


class GraphShapes:
    """See ``GraphShapesConfig``."""

    def __init__(self, config: GraphShapesConfig) -> None:
        self.config = config
        self._template = load_template()
        self._heads = open_prepared(Path(config.folder), "flame") if config.folder else None
        self._tools: dict[torch.device, tuple[shape.IdentityShapes, shape.CarriedExpressions]] = {}

    @torch.no_grad()
    def batch(self, indices: range, device: torch.device) -> GraphBatch:
        """Return people number ``indices``."""
        if device not in self._tools:
            shapes = shape.IdentityShapes(shape.people_surface(device))
            self._tools[device] = shapes, shape.CarriedExpressions(self._template, device)
        shapes, carried = self._tools[device]
        count = self.config.expressions
        people, weights = [], []
        for index in indices:
            generator = np.random.Generator(np.random.Philox(key=[self.config.seed, index]))
            people.append(shape.draw_identity(generator, len(self._template.identity_modes)))
            weights.extend(shape.draw_expression(generator).weights for _ in range(count))
        if self._heads is None:
            neutral = shapes.neutral(people)
        else:
            chosen = [self._heads.keys[index % len(self._heads.keys)] for index in indices]
            neutral = torch.from_numpy(np.stack([self._heads.sample(key)["neutral"] for key in chosen])).to(device)
        neutral = neutral.repeat_interleave(count, 0)
        keys = torch.from_numpy(np.stack(weights)).to(device)
        return GraphBatch(
            person=torch.tensor(list(indices), device=device).repeat_interleave(count),
            told=torch.ones(len(neutral), dtype=torch.bool, device=device),
            neutral=neutral,
            weights=keys,
            vertices=carried.posed(neutral, keys)[:, : self._template.head.vertex_stop],
            photos=None,
        )


@dataclass(frozen=True, kw_only=True)
class GraphPeopleConfig(SourceConfig):
    """Photos of synthetic people that are made once and repeat, so that a net can learn to classify them by name."""

    size: int = 112
    """Side of the pictures in pixels."""
    seed: int = 0
    """Another seed gives other people."""
    photos: int = 3
    """Number of photos per person."""
    people: int = 1500
    """Number of people; they repeat in the same order."""
    folder: str = ""
    """Folder of the store; empty: in the user's cache folder."""

    def __post_init__(self) -> None:
        if self.people < 1 or self.photos < 1:
            raise ValueError("people and photos must be at least 1")

    def build(self) -> Source:
        """Make the source; raises ``LikenessError`` ("missing_part") where the landmark net is not trained."""
        source, key = GraphPeople(self), replace(self, folder="")
        kept = GraphBatch, source, self.people, self.folder, "graph", _MADE_AT_ONCE
        return stored(*kept, key, source.landmarker.version)


class GraphPeople:
    """See ``GraphPeopleConfig``; without a store."""

    def __init__(self, config: GraphPeopleConfig) -> None:
        self.config = config
        self._template = load_template()
        self._head = self._template.head.vertex_stop
        shared = {name: getattr(config, name) for name in ("size", "seed", "photos")}
        self._people = People(PeopleConfig(framing="face", depth=True, albedo=True, carried=True, **shared))
        self.landmarker = SurfaceLandmarker.load()

    @torch.no_grad()
    def batch(self, indices: range, device: torch.device) -> GraphBatch:
        """Return people number ``indices``."""
        people = self._people.batch(indices, device)
        size, head = self.config.size, self._head
        drawn = shape.people_surface(device).smoothed(people.vertices)[:, :head]
        in_camera = people.cameras.in_camera(drawn)
        pixels = project(in_camera, people.intrinsics)[..., :2]
        column, row = (pixels[..., k].floor().long().clamp(0, size - 1) for k in (0, 1))
        number = torch.arange(len(pixels), device=device)[:, None]
        inside = ((pixels >= 0) & (pixels < size)).all(-1) & people.inside[number, row, column]
        near = in_camera[..., 2] < people.depth[number, row, column] + DEPTH_SLACK
        skin = class_mask(people.labels, SKIN)
        albedo = srgb_from_linear(people.albedo).clamp(0, 1)[number, :, row, column]
        return GraphBatch(
            person=people.person,
            told=torch.ones_like(people.person, dtype=torch.bool),
            neutral=people.neutral,
            weights=people.expression,
            vertices=people.vertices[:, :head],
            photos=GraphPhotos(
                images=people.images,
                places=pixels / size,
                albedo=albedo,
                seen=inside & near & skin[number, row, column],
                light=people.light,
                marks=marks_of(self.landmarker, people.images).to(device),
                skin=skin,
            ),
        )


@dataclass(frozen=True, kw_only=True)
class GraphFittedConfig(SourceConfig):
    """300W-LP: photos with a face model's fit. Made once, people come again in the same order."""

    folder: str
    """The prepared set ``300w_lp``."""
    face_model: str
    """The prepared set ``face_model`` of its shapes."""
    size: int
    """Side of the pictures in pixels."""
    photos: int
    """Photos per person, spread over all; where there are fewer they come again."""

    def build(self) -> Source:
        """Open both sets; raises ``SetError`` where they are not prepared."""
        source, cards = GraphFitted(self), (Path(one) / SET_CARD for one in (self.folder, self.face_model))
        kept = GraphBatch, source, len(source.people), "", "graph", _MADE_AT_ONCE
        return stored(*kept, self, source.landmarker.version, *cards)


class GraphFitted:
    """See ``GraphFittedConfig``; without a store."""

    def __init__(self, config: GraphFittedConfig) -> None:
        self.config = config
        self._data = open_prepared(Path(config.folder), "300w_lp")
        self._model = open_prepared(Path(config.face_model), "face_model").sample("model")
        people: dict[str, list[str]] = {}
        for key, person in self._data.card["kept"].items():
            people.setdefault(person, []).append(key)
        self.people = list(people.values())
        self.landmarker = SurfaceLandmarker.load()

    @torch.no_grad()
    def batch(self, indices: range, device: torch.device) -> GraphBatch:
        """Return people number ``indices``."""
        numbers = np.repeat(list(indices), self.config.photos)
        rows = []
        for place, number in enumerate(numbers):
            keys = self.people[number]
            rows.append(self._photo(keys[place % self.config.photos * len(keys) // self.config.photos]))
        images, labels, *shapes = (torch.from_numpy(np.stack(each)) for each in zip(*rows, strict=True))
        return without_colours(self.landmarker, images, labels, torch.from_numpy(numbers), shapes).to(device)

    def _photo(self, key: str) -> tuple[np.ndarray, ...]:
        """A photo's crop (S, S, 3) and labels (S, S), the neutral cage, the head's cage, and its places in sides."""
        sample, model, template, size = self._data.sample(key), self._model, load_template(), self.config.size
        neutral = model["neutral"] + _sum(sample["shape"], model["identity"])
        moved = neutral + _sum(sample["expression"], model["expression"])
        own = (moved @ model["rotation"].T + model["translation"]) / model["unit"]
        seen = sample["scale"] * own @ sample["rotation"].T + sample["offset"]
        seen = np.column_stack([seen[:, 0], len(sample["picture"]) - seen[:, 1], -seen[:, 2]])
        marks = template.landmarks478.positions(seen)
        portrait = portrait_of(sample["picture"], CacheSettings(size, "face", 0.0, True, "label_face"), marks)
        square, head = face_square(marks), template.head.vertex_stop
        places = ((seen[:head, :2] - square.centre) / square.side + 0.5).astype(np.float32)
        return portrait.crop, portrait.labels, neutral.astype(np.float32), moved[:head].astype(np.float32), places


def _sum(weights: np.ndarray, modes: np.ndarray) -> np.ndarray:
    count = min(len(weights), len(modes))  # a smaller face model has the first modes of the set's
    return np.tensordot(weights[:count], modes[:count], 1)


@dataclass(frozen=True, kw_only=True)
class GraphPortraitsConfig(SourceConfig):
    """Real portraits of people by name, without labels; made once, people come again in the same order."""

    portraits: PortraitsConfig
    """The collection, prepared with the network's size and ``framing = "face"``."""
    first: int = 0
    """Number of the first person, where others come before it in a mixed source."""
    people: int = 10177
    """Largest number of people; CelebA has 10,177."""

    def build(self) -> Source:
        """Open the collection; see ``PortraitsConfig.build``."""
        source = GraphPortraits(self)
        kept = GraphBatch, source, source.count, "", "graph", _MADE_AT_ONCE
        return stored(*kept, self, source.landmarker.version, Path(self.portraits.folder) / SET_CARD)


class GraphPortraits:
    """See ``GraphPortraitsConfig``; without a store."""

    def __init__(self, config: GraphPortraitsConfig) -> None:
        self._source, self.landmarker = config.portraits.build(), SurfaceLandmarker.load()
        self._numbers = {who: config.first + k for k, (who, _) in enumerate(self._source.people)}
        self.count = len(self._source)
        if self.count > config.people:
            raise ValueError(f"{config.portraits.folder} holds {self.count} people, more than {config.people}")

    @torch.no_grad()
    def batch(self, indices: range, device: torch.device) -> GraphBatch:
        """Return people number ``indices``."""
        people = self._source.batch(
            range(indices.start % self.count, indices.start % self.count + len(indices)), device
        )
        person = torch.tensor([self._numbers[int(who)] for who in people.person], device=device)
        return without_colours(self.landmarker, people.images, people.labels, person)


def without_colours(
    landmarker: SurfaceLandmarker, images: Tensor, labels: Tensor, person: Tensor, known: Sequence[Tensor] = ()
) -> GraphBatch:
    """Photos (N, 3, S, S), or (N, S, S, 3) uint8, whose colours and light are unknown. ``known``: neutral, vertices and
    places, as in ``GraphBatch``; empty: unlabelled."""
    template, count = load_template(), len(images)
    images = images.permute(0, 3, 1, 2).float() / 255 if images.dtype == torch.uint8 else images
    head, mean = template.head.vertex_stop, torch.from_numpy(template.vertices).to(images).expand(count, -1, -1)
    neutral, vertices, places = known or (mean, mean[:, :head], images.new_zeros(count, head, 2))
    return GraphBatch(
        person=person,
        told=torch.full_like(person, bool(known), dtype=torch.bool),
        neutral=neutral,
        weights=images.new_full((count, len(ARKIT_NAMES)), torch.nan),
        vertices=vertices,
        photos=GraphPhotos(
            images=images,
            places=places,
            albedo=images.new_zeros(count, head, 3),
            seen=torch.zeros_like(vertices[..., 0], dtype=torch.bool),
            light=images.new_zeros(count, 9, 3),
            marks=marks_of(landmarker, images).to(images),
            skin=class_mask(labels, SKIN),
        ),
    )


def marks_of(landmarker: SurfaceLandmarker, pictures: Tensor) -> Tensor:
    """Positions and standard deviations (N, 478, 3) of landmarks, in sides, in pictures (N, 3, S, S) in [0, 1] that are
    cut like ``face_square``; the net's first window follows from that."""
    side = pictures.shape[-1]
    window = Window((side / 2, side / 2), side * WINDOW_PER_FACE / FACE_CROP)
    marks = []
    for pixels in (pictures * 255).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy():
        points = landmarker.find_in(np.ascontiguousarray(pixels), window)
        marks.append(np.column_stack([points.positions, points.deviation]) / side)
    return torch.from_numpy(np.stack(marks)).float()


SHAPE_PEOPLE = 3000
"""Faces and expressions for the mean and the directions of the landmarks; they need no pictures."""
_SHAPE_SEED = 31
"""Seed of other people than those in photo sets."""


@torch.no_grad()
def landmark_shapes(size: int, components: int, device: torch.device) -> LandmarkShapes:
    """Compute the mean and the principal directions of neutral faces and of expressions, for pictures of ``size``
    pixels."""
    marks, moods = _drawn(size, TruthMaker(torch.device("cpu")))
    mean = marks.mean(0)
    directions = _directions(marks - mean, components)
    moods = _directions(moods, EXPRESSIONS)  # not centred: their mean is not the rest position
    return LandmarkShapes(mean.to(device), directions.to(device), moods.to(device))


def _drawn(size: int, maker: TruthMaker) -> tuple[Tensor, Tensor]:
    """Faces without pictures: (P, L, 3) canonical points, and (P, L, 3) their motion due to an expression."""
    template, generator = load_template(), np.random.default_rng(_SHAPE_SEED)
    shapes = shape.IdentityShapes(shape.people_surface(torch.device("cpu")))
    modes = len(template.identity_modes)
    neutral = shapes.neutral([shape.draw_identity(generator, modes) for _ in range(SHAPE_PEOPLE)])
    frames = maker.frames(neutral, size)
    marks = torch.from_numpy(template.landmarks478.positions(neutral.double().numpy())).float()
    people = frames.apply(marks)  # (P, L, 3)
    weights = np.stack([shape.draw_expression(generator).weights for _ in range(SHAPE_PEOPLE)])
    keys = template.landmarks478.positions(template.vertices + template.expressions)
    keys = keys - template.landmarks478.positions(template.vertices)  # (52, L, 3)
    moved = torch.from_numpy(np.tensordot(weights, keys, 1)).float()
    return people, frames.apply(marks + moved) - people


def _directions(offsets: Tensor, count: int) -> Tensor:
    """(count, L, 3) principal directions of offsets (P, L, 3) about zero, with one root mean square each."""
    _, lengths, rows = torch.linalg.svd(offsets.flatten(1), full_matrices=False)
    return (lengths[:count, None] / len(offsets) ** 0.5 * rows[:count]).view(count, *offsets.shape[1:])


SEED = 71
"""Seed of the people that it is computed from, as in the recipes."""
PEOPLE = 2000
_AT_ONCE = 50


@dataclass(frozen=True)
class LinearFaces:
    """Principal components of neutral faces and of expressions, with as many codes as the graph model.

    Attributes
    ----------
    mean : (C, 3) metres. identity : (D, C, 3), expression : (E, C, 3), one standard deviation each.
    """

    mean: np.ndarray
    identity: np.ndarray
    expression: np.ndarray

    def nearest(self, target: np.ndarray, weight: np.ndarray, prior: float, neutral: bool) -> np.ndarray:
        """(C, 3) the model's shape nearest to a target (C, 3), with the same cost as ``codes_of_shape``."""
        modes = self.identity if neutral else np.concatenate([self.identity, self.expression])
        scale = np.sqrt(weight / weight.sum())[:, None]
        design = (scale * modes).reshape(len(modes), -1)
        right = design @ (scale * (target - self.mean)).ravel()
        codes = np.linalg.solve(design @ design.T + prior * np.eye(len(modes)), right)
        return self.mean + np.tensordot(codes, modes, 1)


def linear_faces(
    identity: int, expression: int, people: int = PEOPLE, shapes: SourceConfig | None = None
) -> LinearFaces:
    """Compute components from the first people of a source of shapes, two expressions each. The default source is the
    graph model's training data (``GraphShapesConfig``, seed ``SEED``)."""
    source = (shapes or GraphShapesConfig(seed=SEED)).build()
    count = load_template().head.vertex_stop
    neutral, moved = [], []
    for start in range(0, people, _AT_ONCE):
        batch = source.batch(range(start, min(start + _AT_ONCE, people)), torch.device("cpu"))
        first = torch.ones(len(batch.person), dtype=torch.bool)
        first[1:] = batch.person[1:] != batch.person[:-1]
        neutral.append(batch.neutral[first, :count].numpy())
        moved.append((batch.vertices - batch.neutral[:, :count]).numpy())
    faces, motions = np.concatenate(neutral), np.concatenate(moved)
    mean = load_template().vertices[:count]
    return LinearFaces(mean, components(faces - mean, identity), components(motions, expression))


def components(rows: np.ndarray, count: int) -> np.ndarray:
    """(count, C, 3) the strongest components of rows (N, C, 3), one standard deviation each."""
    flat = torch.from_numpy(rows.reshape(len(rows), -1))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        _, strength, directions = torch.svd_lowrank(flat, count + 8, niter=3)
    modes = directions[:, :count] * (strength[:count] / len(flat) ** 0.5)
    return modes.T.reshape(count, *rows.shape[1:]).numpy()
