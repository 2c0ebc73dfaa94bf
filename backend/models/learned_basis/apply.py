"""The learned face model on photos: one pass of its encoder, differentiable pictures (equation 4 of Mallikarjun et
al., CVPR 2021), and bases tuned on one person's photos (section 3.6). There encoder and codes stay fixed, one photo is
held out, and the tuned bases are kept only if they reduce its photometric error.
"""

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from backend.geometry.deformation_graph import DeformationGraph, deformation_graph
from backend.geometry.template import load_template, usable_landmarks
from backend.geometry.vectors import vertex_normals
from backend.models.checkpoints import LoadedNetwork, float64_array
from backend.models.learned_basis import network as networks
from backend.models.registry import LEARNED_BASIS
from backend.photos.collection import FaceClass, PhotoFace, class_mask
from backend.photos.faces import Window, upright_square
from backend.progress import ProgressReporter, silent
from backend.rendering.color import srgb_from_linear
from backend.rendering.interpolate import fragment_barycentrics, fragment_values, fragments
from backend.rendering.rasterize import face_ids
from backend.rendering.spherical_harmonics import shade

STAGE, PERSONALISING = "encoder", "personalise"
"""Stages that report progress."""
SKIN = (FaceClass.SKIN, FaceClass.BROWS, FaceClass.LIPS, FaceClass.FACIAL_HAIR)
FEWEST_PHOTOS = 3
"""Two for training and one held out."""


@dataclass(frozen=True)
class EncodedPhoto:
    """The encoder's result for one photo.

    Attributes
    ----------
    name : the photo's name. window : the encoder's input, a square of the photo's crop turned so that the head is
        upright.
    expression : (V_head, 3) offsets in metres of the cage's head vertices from the neutral face.
    rotation : (3, 3) camera_from_head for the window, OpenCV axes. distance : metres to the head's middle.
    light : (9, 3) SH coefficients, head frame, as ``FittedPhoto.light``.
    """

    name: str
    window: Window
    expression: np.ndarray
    rotation: np.ndarray
    distance: float
    light: np.ndarray

    def rotation_in_photo(self) -> np.ndarray:
        """(3, 3) camera_from_head for the crop, with the window's turn undone."""
        cos, sin = np.cos(self.window.angle), np.sin(self.window.angle)
        return np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]]) @ self.rotation


@dataclass(frozen=True)
class EncodedFace:
    """The encoder's result for one person.

    Attributes
    ----------
    identity : (V_head, 3) offsets in metres of the neutral cage's head vertices from the template's.
    reflectance : (V_head, 3) linear. photos : in the order of the input faces.
    version : fingerprint of the model's weights.
    code : (K,) identity coefficients, if the fit uses the model's own modes; None: project ``identity`` onto the modes.
    """

    identity: np.ndarray
    reflectance: np.ndarray
    photos: tuple[EncodedPhoto, ...]
    version: str
    code: np.ndarray | None = None


class BasisModel(LoadedNetwork[networks.LearnedBasisNet]):
    """The learned face model."""

    model = LEARNED_BASIS
    network_type, config_type = networks.LearnedBasisNet, networks.LearnedBasisConfig


@dataclass(frozen=True)
class EncoderInput:
    """Input of the encoder for N photos.

    Attributes
    ----------
    windows : the upright square around each face. pictures : (N, 3, S, S) in [0, 1], its content.
    landmarks : (N, LANDMARKS, 2) in sides of the square.
    """

    windows: tuple[Window, ...]
    pictures: Tensor
    landmarks: Tensor


def encoder_input(faces: Sequence[PhotoFace], size: int) -> EncoderInput:
    """Cut N faces out of their crops, ``size`` pixels per side."""
    windows = tuple(upright_square(face.landmarks) for face in faces)
    cut = np.stack([window.cut(face.pixels, size) for face, window in zip(faces, windows, strict=True)])
    marks = np.stack(
        [w.from_picture(face.landmarks[: networks.LANDMARKS, :2], 1.0) for face, w in zip(faces, windows, strict=True)]
    )
    pictures = torch.from_numpy(cut).permute(0, 3, 1, 2).float() / 255
    return EncoderInput(windows, pictures, torch.from_numpy(marks).float())


@torch.inference_mode()
def encoded_face(faces: Sequence[PhotoFace], model: BasisModel, progress: ProgressReporter = silent) -> EncodedFace:
    """Run the encoder once over all faces of one person. Reports progress under ``encoder``.

    Raises
    ------
    ValueError : no face was given.
    """
    if not faces:
        raise ValueError("an encoded face needs at least one photo")
    progress(STAGE, 0.0)
    network = model.network
    inputs = encoder_input(faces, network.config.size)
    together = torch.zeros(len(faces), dtype=torch.int64, device=model.device)
    code = network(inputs.pictures.to(model.device) * 2 - 1, together, inputs.landmarks.to(model.device))
    identity_nodes, expression_nodes = network.bases.node_offsets(code.identity, code.expression)
    graph = deformation_graph(network.config.nodes)
    rotation = code.pose.cameras(network.config.size).rotation
    photos = tuple(
        EncodedPhoto(photo.name, window, *arrays)
        for photo, window, *arrays in zip(
            faces,
            inputs.windows,
            _metres(graph, expression_nodes),
            float64_array(rotation),
            float64_array(code.pose.distance).tolist(),
            float64_array(code.light),
            strict=True,
        )
    )
    progress(STAGE, 1.0)
    identity = _metres(graph, identity_nodes)[0]
    reflectance = float64_array(network.bases.reflectance_of(code.reflectance)[0, : len(identity)])
    return EncodedFace(identity, reflectance, photos, model.version)


def _metres(graph: DeformationGraph, nodes: Tensor) -> np.ndarray:
    """(N, V_head, 3) float64 offsets of the cage in metres, from node offsets (N, G, 3) in millimetres."""
    return networks.MILLIMETRE * graph.offsets(nodes.cpu().numpy()).astype(np.float64)


@dataclass(frozen=True)
class RenderedFace:
    """Pictures of N faces.

    Attributes
    ----------
    image : (N, 3, S, S) sRGB in [0, 1]. albedo : the same for the reflectance alone. mask : (N, S, S) bool coverage.
    """

    image: Tensor
    albedo: Tensor
    mask: Tensor


def render_face(
    bases: networks.FaceBases, face: networks.ModelledFace, pixels: Tensor, light: Tensor, size: int
) -> RenderedFace:
    """Shade the vertices by equation 4, and interpolate their colours over the triangles (section 3.2).

    pixels : (N, V, 3) projected vertices. light : (N, 9, 3), head frame.
    """
    normals = vertex_normals(face.vertices, bases.faces)
    colour = face.reflectance * shade(normals, light).clamp(min=0)
    pictures, mask = draw_colours(torch.cat([colour, face.reflectance], -1), pixels, bases.faces, size)
    return RenderedFace(pictures[:, :3], pictures[:, 3:], mask)


def draw_colours(colours: Tensor, pixels: Tensor, faces: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Interpolate linear colours (N, V, K) at projected vertices (N, V, 3) over triangles (F, 3): pictures
    (N, K, S, S), sRGB in [0, 1], and (N, S, S) bool coverage."""
    raster = fragments(face_ids(pixels, faces, (size, size), cull_backfaces=True), faces)
    values = fragment_values(colours, raster, fragment_barycentrics(pixels, raster))
    pictures = raster.scatter(srgb_from_linear(values.clamp(1e-4, 1.0))).permute(0, 3, 1, 2)
    return pictures, raster.scatter(torch.ones_like(values[:, 0])) > 0.5


@dataclass(frozen=True)
class PersonaliseOptions:
    """Optimiser settings and weights of the losses.

    Attributes
    ----------
    steps : of Adam. most_photos : greatest number of training photos, the best ones.
    geometry_rate : millimetres that a node of this person may move per step. reflectance_rate : the same for linear
        reflectance.
    photometric, landmark : weights of the data terms, squared colours and squared per cent of the picture's side.
    smooth : weight of the squared differences of the change, in mm, between neighbouring nodes.
    even : weight of the squared differences of the change of reflectance, in tenths, between neighbouring vertices.
    stay : weight of the squared change of this person, of nodes in mm and of reflectance in tenths.
    """

    steps: int = 40
    most_photos: int = 6
    geometry_rate: float = 0.02
    reflectance_rate: float = 0.002
    photometric: float = 20.0
    landmark: float = 0.1
    smooth: float = 0.2
    even: float = 10.0
    stay: float = 0.02


@dataclass(frozen=True)
class Personalised:
    """Result of a personalisation.

    Attributes
    ----------
    model : with the tuned bases if ``used``, else unchanged.
    held_out : name of the held-out photo; "" if there were too few photos.
    before, after : mean absolute colour difference on it, 0 to 1. seconds : wall time.
    """

    model: BasisModel
    held_out: str
    before: float
    after: float
    used: bool
    seconds: float

    def to_report(self) -> dict[str, object]:
        """For ``report.json``: JSON types only."""
        if not self.held_out:
            return {
                "used": False,
                "reason": f"it takes {FEWEST_PHOTOS} colour photos",
                "seconds": round(self.seconds, 3),
            }
        return {
            "used": self.used,
            "held_out": self.held_out,
            "photometric_error_before": round(self.before, 5),
            "photometric_error_after": round(self.after, 5),
            "seconds": round(self.seconds, 3),
        }


def personalise(
    faces: Sequence[PhotoFace],
    model: BasisModel,
    options: PersonaliseOptions | None = None,
    progress: ProgressReporter = silent,
) -> Personalised:
    """Tune the model's bases to the person in ``faces`` (best first). Reports progress under ``personalise``.

    The held-out photo is the middle one. Black-and-white photos are not used, because they show no reflectance.
    """
    options = options or PersonaliseOptions()
    start = time.perf_counter()
    faces = [face for face in faces if not face.monochrome]
    if len(faces) < FEWEST_PHOTOS:
        return Personalised(model, "", float("nan"), float("nan"), False, time.perf_counter() - start)
    held_out = faces[len(faces) // 2]
    learned = [face for face in faces if face is not held_out][: options.most_photos]
    network = model.network
    inputs = encoder_input([*learned, held_out], network.config.size)
    masks = _skin(inputs, [*learned, held_out], network.config.size)
    with torch.no_grad():
        code = _code_without_last(network, inputs, model.device)
    count = len(learned)
    pictures, masks = inputs.pictures.to(model.device), masks.to(model.device)
    tuned = copy.deepcopy(network)
    _tune(tuned, code, pictures, masks, inputs.landmarks.to(model.device), count, options, progress)
    before, after = (_colour_error(one, code, pictures, masks, count) for one in (network, tuned))
    used = after < before
    chosen = replace(model, network=tuned, version=f"{model.version}, personalised") if used else model
    return Personalised(chosen, held_out.name, before, after, used, time.perf_counter() - start)


def _skin(inputs: EncoderInput, faces: Sequence[PhotoFace], size: int) -> Tensor:
    """(N, S, S) bool mask of the skin in each square, from the photo's labels."""
    masks = [
        window.cut(class_mask(face.labels, SKIN)[..., None], size).reshape(size, size)
        for face, window in zip(faces, inputs.windows, strict=True)
    ]
    return torch.from_numpy(np.stack(masks) > 250)  # whole pixels of skin


def _code_without_last(
    network: networks.LearnedBasisNet, inputs: EncoderInput, device: torch.device
) -> networks.FaceCode:
    """Codes of all photos, with one identity and reflectance for all that do not depend on the last photo."""
    count = len(inputs.pictures)
    pictures, landmarks = (inputs.pictures * 2 - 1).to(device), inputs.landmarks.to(device)
    sets = torch.zeros(count, dtype=torch.int64, device=device)
    sets[-1] = 1
    code = network.encoder(pictures, sets, landmarks)
    code = replace(code, identity=code.identity[:1], reflectance=code.reflectance[:1], set_of=torch.zeros_like(sets))
    return network.lit(code, pictures)


def _of(code: networks.FaceCode, chosen: slice) -> networks.FaceCode:
    """Select the photos ``chosen`` of one set."""
    fixed = {name: getattr(code, name)[chosen] for name in ("expression", "light", "set_of")}
    return replace(code, pose=code.pose.of(chosen), **fixed)


def _tune(
    network: networks.LearnedBasisNet,
    code: networks.FaceCode,
    pictures: Tensor,
    masks: Tensor,
    landmarks: Tensor,
    count: int,
    options: PersonaliseOptions,
    progress: ProgressReporter,
) -> None:
    """Optimise the bases, in place, for the first ``count`` photos."""
    size, bases = pictures.shape[-1], network.bases
    code = _of(code, slice(count))
    geometry, reflectance = (bases.identity_raw, bases.expression), (bases.reflectance,)
    before = [basis.detach().clone() for basis in (*geometry, *reflectance)]
    # Adam moves each number of a basis by about its rate, so a face by the rate times its codes' sum: divided out here
    sums = [code.identity, code.expression, code.reflectance]
    reach = [float(codes.abs().sum(1).mean().clamp(min=1e-3)) for codes in sums]
    rates = (options.geometry_rate, options.geometry_rate, options.reflectance_rate)
    optimizer = torch.optim.Adam(
        [
            {"params": (basis,), "lr": rate / far}
            for basis, rate, far in zip((*geometry, *reflectance), rates, reach, strict=True)
        ]
    )
    marks, vertices, weights = _fixed_landmarks(bases)
    edges = bases.surface.edges.to(pictures.device)
    sides = bases.faces[:, [0, 1, 1, 2]].reshape(-1, 2)

    def spread(values: Tensor) -> Tensor:
        """Scatter (N, R, 3) of the vertices with a reflectance basis to all vertices (N, V, 3)."""
        whole = values.new_zeros(len(values), len(bases.mean), 3)
        return whole.index_add(1, bases.covered, values)

    for step in range(options.steps):
        progress(PERSONALISING, step / options.steps)
        face = network.face(code)
        cameras = code.pose.cameras(size)
        pixels = cameras.project(face.vertices)
        rendered = render_face(bases, face, pixels, code.light, size)
        shown = (rendered.mask & masks[:count])[:, None]
        colour = ((rendered.image - pictures[:count]).square() * shown).sum() / (3 * shown.sum()).clamp(min=1)
        points = cameras.project((face.vertices[:, vertices] * weights[..., None]).sum(2))[..., :2]
        off = 100.0 * (points / size - landmarks[:count, marks])
        change = [now - then for now, then in zip((*geometry, *reflectance), before, strict=True)]
        own = torch.einsum("nm,mgc->ngc", code.identity, change[0])
        moves = torch.cat([own, torch.einsum("nm,mgc->ngc", code.expression, change[1])])
        bend = (moves[:, edges[:, 0]] - moves[:, edges[:, 1]]).square().sum(-1).mean()
        colours = torch.einsum("nm,mrc->nrc", code.reflectance, change[2])
        stay = moves.square().sum(-1).mean() + 100 * colours.square().sum(-1).mean()
        loss = options.photometric * colour + options.landmark * off.square().sum(-1).mean()
        painted = spread(colours)
        patches = (painted[:, sides[:, 0]] - painted[:, sides[:, 1]]).square().sum(-1).mean()
        loss = loss + options.smooth * bend + options.stay * stay + options.even * 100 * patches
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    progress(PERSONALISING, 1.0)


def _fixed_landmarks(bases: networks.FaceBases) -> tuple[Tensor, Tensor, Tensor]:
    """Indices (L,) of landmarks at fixed places on the head, their cage vertices (L, 3) and barycentrics (L, 3)."""
    template = load_template()
    marks, device = template.landmarks478, bases.mean.device
    chosen = np.flatnonzero(usable_landmarks(template))
    return tuple(
        torch.from_numpy(np.ascontiguousarray(values)).to(device)
        for values in (chosen, marks.vertices[chosen].astype(np.int64), marks.barycentrics[chosen].astype(np.float32))
    )


@torch.no_grad()
def _colour_error(
    network: networks.LearnedBasisNet, code: networks.FaceCode, pictures: Tensor, masks: Tensor, number: int
) -> float:
    """Mean absolute colour difference of photo ``number`` over its skin."""
    one = _of(code, slice(number, number + 1))
    face = network.face(one)
    size = pictures.shape[-1]
    rendered = render_face(network.bases, face, one.pose.cameras(size).project(face.vertices), one.light, size)
    shown = rendered.mask[0] & masks[number]
    return float((rendered.image[0] - pictures[number]).abs().mean(0)[shown].mean())
