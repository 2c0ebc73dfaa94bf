"""Evaluate the graph face model: its decoder beside a linear model with as many codes; its encoder on photographs, as
MICC does (Gao et al., CVPRW 2020, tables 1 and 2), beside mean face, learned basis and landmark fit; unseen skin;
ablations; sheets.
"""

import argparse
import math
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from rich.console import Console
from torch import Tensor

from backend.errors import LikenessError
from backend.fitting.fit import fit_face
from backend.fitting.options import fit_options_for
from backend.geometry.mesh_hierarchy import load_mesh_hierarchy, spread
from backend.geometry.template import load_template
from backend.geometry.vectors import vertex_normals
from backend.models import graph_face as nets
from backend.models.learned_basis.apply import BasisModel, EncodedFace, draw_colours, encoded_face
from backend.photos.collection import PhotoCollection, PhotoFace
from backend.rendering.color import linear_from_srgb
from backend.rendering.spherical_harmonics import light_from_directions, shade
from backend.texture.albedo import bare_skin, small_maps, with_learned_completion
from backend.texture.surface import texture_space
from trainer.ablations import trained_models
from trainer.engine import sheets
from trainer.measures import harness
from trainer.measures.metrics import aligned_faces, mean_interval, ratio_interval
from trainer.methods.graph_face.albedo import UNSEEN, head_people, known_texture, moved_truth, true_albedo
from trainer.methods.graph_face.data import GraphBatch, GraphPeopleConfig, GraphShapesConfig, linear_faces
from trainer.methods.graph_face.stage import face_distance, same_person_share

TILE = 168
_CLAY = 0.45
_BACKGROUND = 0.16
_FRONT_SCALE = 4.6
_FAR = 2.0
CAPTIONS = ("photo", "reconstruction", "neutral", "turned", "as the first")
"""Columns of ``photo_sheet``."""
PHOTOS = 3
"""Photos per person; in ablations, and of skins, which are completed from the first alone, and from all."""
_PICTURE = 320
"""Pixels a side of the photos."""
_TEXTURE = 512
"""Texels a side of the product's texture."""
FRAMES = 5
"""Photos per person, each with its own expression, view and light."""
Estimator = Callable[[Sequence[PhotoFace]], np.ndarray]
"""Function from the faces of one person in photos to a neutral cage (V, 3), metres."""
MEASURES = ("neutral", "person", "moved", "relief", "albedo", "albedo_hidden", "other_person")
"""Per person, in millimetres: ``neutral``, distance of the neutral face's vertices, per photo; ``person``, by the mean
code; ``moved``, of the face with expression; ``relief``, error of each vertex's offset from its neighbours. In colour
units: ``albedo``, difference of colours where the photo shows them; ``albedo_hidden``, where only another photo of the
person does. ``other_person``: share of photos whose nearest other code is another
person's."""
CPU = torch.device("cpu")
SEED = 91
"""Seed of people unused for training and selection in all recipes."""
PRIOR = 1e-8
"""Square metres; see ``codes_of_shape``."""
_BATCH = 8


@torch.no_grad()
def photo_sheet(model: nets.GraphModel, faces: Sequence[PhotoFace]) -> list[Sequence[Tensor]]:
    """A row of pictures per photo: the photo; its reconstruction in its pose and light; the neutral face as
    clay, from the front and rotated; the first person's face with this photo's expression."""
    net = model.network
    _, pictures, codes = nets.read_codes(faces, model)
    rest = net.neutral(codes.identity)
    photos = torch.nn.functional.interpolate(pictures, size=(TILE, TILE), mode="bicubic").clamp(0, 1)
    front, side = (seen_from(len(rest), yaw) for yaw in (0.0, math.radians(35)))
    colours = linear_from_srgb(net.albedo(codes.identity).clamp(0.001, 1))
    columns = [
        photos,
        drawn(net.shape(codes.identity, codes.expression), colours, codes.light, codes.pose),
        clay(rest, front),
        clay(rest, side),
        clay(net.shape(codes.identity[:1].expand_as(codes.identity), codes.expression), front),
    ]
    return sheets.rows_of(columns)


def drawn(shapes: Tensor, colours: Tensor, light: Tensor, pose: nets.WeakPerspective) -> Tensor:
    """Render shapes (N, C, 3) with linear colours (N, C, 3) under light (N, 9, 3) to (N, 3, TILE, TILE)."""
    faces = torch.from_numpy(load_mesh_hierarchy().levels[0].faces)
    shading = shade(vertex_normals(shapes, faces), light).clamp(min=0)
    depth = (shapes @ pose.rotation().transpose(1, 2))[..., 2:] + _FAR
    pixels = torch.cat([TILE * pose.project(shapes), depth], -1)
    picture, mask = draw_colours(colours * shading, pixels, faces, TILE)
    return torch.where(mask[:, None], picture, _BACKGROUND)


def clay(shapes: Tensor, pose: nets.WeakPerspective) -> Tensor:
    """Render shapes (N, C, 3) as clay, lit from the upper left, to (N, 3, TILE, TILE)."""
    lamp = light_from_directions(torch.tensor([[-0.45, 0.6, 0.66]]), torch.tensor([[0.9, 0.9, 0.9]]), 0.25)
    return drawn(shapes, torch.full_like(shapes, _CLAY), lamp.expand(len(shapes), -1, -1), pose)


def seen_from(count: int, yaw: float, scale: float = _FRONT_SCALE) -> nets.WeakPerspective:
    """``count`` poses, rotated by yaw (radians), in which a metre spans ``scale`` tiles."""
    angles = torch.zeros(count, 3)
    angles[:, 1] = yaw
    return nets.WeakPerspective(angles, torch.full((count,), scale), torch.zeros(count, 2))


def albedo_figures(people: int) -> dict[str, float | str]:
    """Compare completions for ``people`` held-out synthetic people. ``albedo.rules.nK`` and ``albedo.network.nK``: mean
    absolute difference of log albedo from the truth where none of K photos shows the skin of face, ears and neck;
    ``albedo.ratio.nK`` of the second to the first with the bounds of its 95 % interval. K: 1 and 3. The fit is exact in
    shape, cameras, light and mean colour; the truth is shifted by the median difference at visible texels."""
    model = harness.trained_or_none(nets.GraphAlbedoModel.load, None)
    if model is None:
        return {"albedo": "not trained"}
    if people < 2:
        raise LikenessError("usage", "--skins must be at least 2.", "Use 48.")
    source = head_people(_PICTURE, SEED, PHOTOS)
    template, size = load_template(), model.size
    atlas, skin = texture_space(template, size).skin, bare_skin(size) > 0.5
    rows: dict[int, list[list[float]]] = {1: [], PHOTOS: []}
    for index in range(people):
        batch = source.batch(range(index, index + 1), torch.device("cpu"))
        colour, true = true_albedo(source, index, 64).mean(0), true_albedo(source, index, size)
        for count, errors in rows.items():
            result = known_texture(batch, count, colour, _TEXTURE)
            better = with_learned_completion(template, result.albedo, result.coverage, model)
            made, cover = small_maps(linear_from_srgb(result.albedo), result.coverage, atlas)
            maps, _ = small_maps(linear_from_srgb(better), result.coverage, atlas)
            truth = moved_truth(true, made, cover, atlas)
            unseen = skin & (cover < UNSEEN)
            errors.append([float(np.abs(one - truth)[unseen].mean()) for one in (maps, made)])
    figures: dict[str, float | str] = {}
    for count, errors in rows.items():
        network, rules = np.array(errors).T
        figures |= {f"albedo.rules.n{count}": float(rules.mean()), f"albedo.network.n{count}": float(network.mean())}
        figures |= ratio_interval(network, rules).figures(f"albedo.ratio.n{count}")
    return figures


@dataclass(frozen=True)
class Clip:
    """A person's photos, and a function giving the mean distance of a neutral cage (V, 3) from the truth,
    millimetres."""

    faces: tuple[PhotoFace, ...]
    error: Callable[[np.ndarray], float]


def estimators(graph: nets.GraphModel, basis: BasisModel | None) -> dict[str, Estimator]:
    """Estimators by name: ``mean``, the constant mean face; ``linear``; and the trained ones of ``graph`` and
    ``basis``."""
    template = load_template()

    def of_encoder(face: EncodedFace) -> np.ndarray:
        return template.vertices + template.following_skin(face.identity)

    def linear(faces: Sequence[PhotoFace]) -> np.ndarray:
        return fit_face(PhotoCollection(tuple(faces)), fit_options_for("fast"), template=template).neutral

    found = {"mean": lambda faces: template.vertices, "linear": linear}
    found["graph"] = lambda faces: of_encoder(nets.graph_face(faces, graph))
    return found | ({"basis": lambda faces: of_encoder(encoded_face(faces, basis))} if basis else {})


def clip_figures(kinds: Mapping[str, Estimator], clips: Sequence[Clip]) -> dict[str, float]:
    """``clips.frame.KIND.mean_mm`` and ``.std_mm`` over all photos, each alone, and ``clips.all.KIND...`` over people,
    from all their photos; ``.ratio`` of the mean to the mean face's. A failed fit counts as the mean face."""
    rows: dict[str, list[float]] = {}
    for clip in clips:
        for kind, estimate in kinds.items():
            rows.setdefault(f"all.{kind}", []).append(clip.error(_or_mean(estimate, clip.faces)))
            alone = [clip.error(_or_mean(estimate, [face])) for face in clip.faces]
            rows.setdefault(f"frame.{kind}", []).extend(alone)
    figures = {"clips.people": float(len(clips))}
    for row, errors in rows.items():
        figures |= {f"clips.{row}.mean_mm": float(np.mean(errors)), f"clips.{row}.std_mm": float(np.std(errors))}
        figures[f"clips.{row}.ratio"] = float(np.mean(errors) / np.mean(rows[f"{row.split('.')[0]}.mean"]))
    return figures


def _or_mean(estimate: Estimator, faces: Sequence[PhotoFace]) -> np.ndarray:
    try:
        return estimate(faces)
    except LikenessError:
        return load_template().vertices


def synthetic_clips(people: int, frames: int = FRAMES) -> list[Clip]:
    """Clips of held-out synthetic people; those without a detected face are left out. The error is the mean distance of
    the face's vertices after aligning each face to the template's by a similarity."""
    template = load_template()
    clips = []
    for neutral, paths in synthetic_photos(people, frames):
        truth = aligned_faces(template, [neutral])[0]

        def error(cage: np.ndarray, truth: np.ndarray = truth) -> float:
            return float(np.linalg.norm(aligned_faces(template, [cage])[0] - truth, axis=1).mean())

        faces = harness.found_faces(paths)
        if faces:
            clips.append(Clip(faces, error))
    return clips


def synthetic_photos(people: int, frames: int = FRAMES) -> Iterator[tuple[np.ndarray, list[Path]]]:
    """Yield the neutral vertices (V, 3) and the photos of the first ``people`` held-out synthetic people. The files
    exist until the next iteration."""
    source = head_people(_PICTURE, SEED, frames)
    for index in range(people):
        batch = source.batch(range(index, index + 1), torch.device("cpu"))
        pictures = (batch.images.permute(0, 2, 3, 1).numpy() * 255).round().astype(np.uint8)
        with tempfile.TemporaryDirectory() as folder:
            paths = [Path(folder) / f"{number}.png" for number in range(len(pictures))]
            for path, picture in zip(paths, pictures, strict=True):
                cv2.imwrite(str(path), picture[..., ::-1])
            yield batch.neutral[0].numpy(), paths


def _people(net: nets.GraphFaceNet, people: int) -> Iterator[GraphBatch]:
    source = GraphPeopleConfig(size=net.config.size, seed=SEED, people=people, photos=PHOTOS).build()
    yield from harness.batches(source, people, _BATCH)


@torch.no_grad()
def person_errors(net: nets.GraphFaceNet, people: Iterable[GraphBatch]) -> np.ndarray:
    """(MEASURES, P) of the people in batches of photos; NaN where a person's photos do not determine it."""
    template = load_template()
    face = torch.from_numpy(template.regions["face"][: len(net.mean)] > 0.5)
    around = nets.neighbour_means(load_mesh_hierarchy().levels[0])
    rows: list[list[float]] = []
    codes, names = [], []
    for batch in people:
        read = net.encoder(batch.photos.images, batch.photos.marks)
        rest, shape = net.neutral(read.identity), net.shape(read.identity, read.expression)
        truth = batch.neutral[:, : len(net.mean)]
        wrong = (net.albedo(read.identity) - batch.photos.albedo).abs().mean(-1)
        apart = (shape - batch.vertices) - spread(around, shape - batch.vertices)
        relief = 1000 * apart[:, face].norm(dim=-1).mean(1)
        for person in batch.person.unique():
            own = (batch.person == person).nonzero()[:, 0]
            mean = net.neutral(nets.persons_identity(read.identity[own], read.confidence[own])[None])
            visible = batch.photos.seen[own]
            hidden = _hidden_error(net.albedo(read.identity[own]), batch.photos.albedo[own], visible)
            rows.append(
                [
                    1000 * float(face_distance(rest[own], truth[own], face).mean()),
                    1000 * float(face_distance(mean, truth[own][:1], face)),
                    1000 * float(face_distance(shape[own], batch.vertices[own], face).mean()),
                    float(relief[own].mean()),
                    float(wrong[own][visible].mean()),
                    hidden,
                ]
            )
        codes.append(read.identity)
        names.append(batch.person)
    values = np.array(rows).T
    return np.concatenate([values, _mistaken_shares(torch.cat(codes), torch.cat(names))[None]])


def _hidden_error(predicted: Tensor, true: Tensor, visible: Tensor) -> float:
    """Mean difference of a person's colours (K, C, 3) at vertices that a photo does not show, from the mean true ones
    of the photos that do; NaN where all show the same."""
    shown = visible.sum(0)
    usual = (true * visible[..., None]).sum(0) / shown.clamp(min=1)[:, None]
    hidden = ~visible & (shown > 0)
    return float((predicted - usual).abs().mean(-1)[hidden].mean()) if hidden.any() else float("nan")


def _mistaken_shares(codes: Tensor, people: Tensor) -> np.ndarray:
    """(P,) share of each person's codes (N, D) whose nearest other is another person's; people (N,), each
    consecutive."""
    apart = torch.cdist(codes, codes).fill_diagonal_(float("inf"))
    wrong = (people[apart.argmin(1)] != people).float().numpy()
    return np.array([wrong[(people == person).numpy()].mean() for person in people.unique(sorted=True)])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``evaluate graph``."""
    parser.add_argument("--heads", type=int, default=24, help="held-out heads of each kind for the decoders")
    parser.add_argument(
        "--people", type=int, default=60, help="held-out synthetic people for the encoder and the ablations"
    )
    parser.add_argument("--skins", type=int, default=48, help="held-out synthetic people for skin that no photo shows")
    parser.add_argument("--clips", type=int, default=12, help="held-out synthetic people for clips; 0: none")
    parser.add_argument("--model", type=Path, help="folder of an exported model; default: the shipped one")
    parser.add_argument("--ablations", type=Path, help="folder of what `python -m trainer ablations` has trained")
    parser.add_argument("--sheet", type=Path, help="where the sheet of --sheet-photos goes (PNG)")
    parser.add_argument("--sheet-photos", type=Path, nargs="+", default=(), help="photos to draw beside their faces")


def run(arguments: argparse.Namespace, console: Console) -> dict[str, float | str]:
    """Measure and print a table; ``not trained`` where there is no model."""
    try:
        model = nets.GraphModel.load(arguments.model)
    except LikenessError as error:
        if error.code != "missing_part" or arguments.model is not None:
            raise
        console.print("The graph face model is not trained.")
        return {"graph": "not trained"}
    if arguments.heads < 2 or arguments.people < 2:
        raise LikenessError("usage", "--heads and --people must be at least 2.", "Use 24 and 60.")
    net = model.network
    figures = decoder_figures(net, arguments.heads) | encoder_figures(net, arguments.people)
    if arguments.clips:
        kinds = estimators(model, harness.trained_or_none(BasisModel.load, None))
        figures |= clip_figures(kinds, synthetic_clips(arguments.clips))
    figures |= albedo_figures(arguments.skins) | _ablations(arguments)
    if arguments.sheet:
        shown = [face for path in arguments.sheet_photos for face in harness.found_faces([path])]
        sheets.write_sheet(arguments.sheet, photo_sheet(model, shown), CAPTIONS)
    return figures


def _ablations(arguments: argparse.Namespace) -> dict[str, float]:
    """``ablation.*`` of the models from ``python -m trainer ablations``; empty without their folder."""
    if arguments.ablations is None:
        return {}

    def errors(path: Path) -> np.ndarray:
        net = nets.GraphModel.load(path).network
        return person_errors(net, _people(net, arguments.people))

    return harness.ablation_figures(trained_models(arguments.ablations), MEASURES, errors)


def decoder_figures(net: nets.GraphFaceNet, heads: int) -> dict[str, float | str]:
    """Mean distance of the face's vertices, millimetres, between held-out faces and each model's nearest face.
    ``graph.KIND``, ``linear.KIND``, ``mean.KIND``, and ``ratio.KIND`` of graph to linear with the bounds of its 95 %
    interval. KIND: ``neutral`` and ``moved`` (with expression) of synthetic people; the linear model is computed from
    other such people."""
    template = load_template()
    count = template.head.vertex_stop
    weight = template.regions["face"][:count].astype(np.float64)
    face = weight > 0.5
    linear = linear_faces(net.config.identity, net.config.expression)
    batch = GraphShapesConfig(seed=SEED, expressions=1).build().batch(range(heads), CPU)
    kinds: dict[str, tuple[np.ndarray, bool]] = {
        "neutral": (batch.neutral[:, :count].numpy(), True),
        "moved": (batch.vertices.numpy(), False),
    }
    figures: dict[str, float | str] = {}
    for kind, (targets, neutral) in kinds.items():
        rows = []
        for target in targets:
            fitted = nets.codes_of_shape(
                net, torch.from_numpy(target), torch.from_numpy(weight).float(), PRIOR, neutral
            )
            made = (fitted.shape.numpy(), linear.nearest(target, weight, PRIOR, neutral), linear.mean)
            rows.append([1000 * np.linalg.norm(one - target, axis=1)[face].mean() for one in made])
        errors = np.array(rows)  # (H, 3)
        for column, name in enumerate(("graph", "linear", "mean")):
            figures[f"{name}.{kind}"] = float(errors[:, column].mean())
        figures |= mean_interval(errors[:, 0] / errors[:, 1]).figures(f"ratio.{kind}")
    return figures


def encoder_figures(net: nets.GraphFaceNet, people: int) -> dict[str, float | str]:
    """Evaluate photos of held-out synthetic people. ``photo.neutral``: mean distance of the neutral face's vertices,
    millimetres, per photo; ``person.neutral``: by the mean code of a person's three photos; both also as ``.ratio`` to
    the mean face's. ``person.deviation``: between a person's photos. ``albedo.ratio``: colour error relative to the
    mean colours. ``identity``: share of photos whose nearest other code is the same person's. ``seconds.photo``.
    """
    template = load_template()
    count = template.head.vertex_stop
    face = torch.from_numpy(template.regions["face"][:count] > 0.5)
    config = GraphPeopleConfig(size=net.config.size, seed=SEED, people=people)
    source = config.build()
    rows: dict[str, list[float]] = {}
    codes, names = [], []
    seconds = 0.0
    for batch in harness.batches(source, people, _BATCH):
        began = time.perf_counter()
        with torch.no_grad():
            read = net.encoder(batch.photos.images, batch.photos.marks)
            rest = net.neutral(read.identity)
            net.shape(read.identity, read.expression)
            albedo = net.albedo(read.identity)
        seconds += time.perf_counter() - began
        truth = batch.neutral[:, :count]
        none = 1000 * face_distance(net.mean.expand_as(truth), truth, face)
        for number, value in enumerate(1000 * face_distance(rest, truth, face)):
            rows.setdefault("photo.neutral", []).append(float(value))
            rows.setdefault("photo.neutral.ratio", []).append(float(value / none[number]))
        for person in batch.person.unique():
            own = batch.person == person
            with torch.no_grad():
                mean = net.neutral(nets.persons_identity(read.identity[own], read.confidence[own])[None])
            value = float(1000 * face_distance(mean, truth[own][:1], face))
            rows.setdefault("person.neutral", []).append(value)
            rows.setdefault("person.neutral.ratio", []).append(value / float(none[own][0]))
            spread = 1000 * face_distance(rest[own], rest[own].mean(0, keepdim=True).expand_as(rest[own]), face)
            rows.setdefault("person.deviation", []).append(float(spread.mean()))
        wrong, usual = (
            ((made - batch.photos.albedo).abs().mean(-1) * batch.photos.seen).sum(1)
            for made in (albedo, net.mean_albedo.detach().expand_as(albedo))
        )
        rows.setdefault("albedo.ratio", []).extend((wrong / usual)[batch.photos.seen.any(1)].tolist())
        codes.append(read.identity)
        names.append(batch.person)
    figures: dict[str, float | str] = {**harness.mean_figures(rows)}
    figures["identity"] = same_person_share(torch.cat(codes), torch.cat(names))
    figures["seconds.photo"] = seconds / (people * config.photos)
    return figures
