"""Tables of the product, the learned basis and the graph model on prepared sets, and the sets' own ways of
measuring: MICC's 95 mm, BU-3DFE, AFLW2000's NME. NoW and REALY are scored by their own scripts (``tables``).
"""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

from backend.geometry.closest import Closest
from backend.geometry.template import load_template
from backend.models.graph_face import GraphModel, graph_face, read_codes
from backend.models.learned_basis.apply import BasisModel, EncodedFace, encoded_face
from backend.models.learned_basis.network import LANDMARKS
from backend.photos.collection import PhotoCollection, PhotoFace
from protocol.similarity import fit_similarity
from trainer.engine.disk_cache import LeftOut, PreparedSet, SetError
from trainer.engine.sheets import SHOWN, tile
from trainer.measures.estimate import Estimate, Variant, as_estimate, fitted
from trainer.measures.harness import OURS, face_window, found_faces
from trainer.measures.metrics import refine_alignment, scan_to_mesh
from trainer.methods.learned_basis.data import FaceBatch, landmark_weights
from trainer.methods.learned_basis.start import encode_again, lip_pictures
from trainer.portraits.collection import CacheSettings, portrait_of
from trainer.sets.annotated import frame_of, pixels_of
from trainer.sets.scans import FRAMES

METRES_TO_MM = 1000.0
MICC_RADIUS = 0.095
"""Metres around the nose tip (Genova et al. 2018)."""
YAWS = (30.0, 60.0, 180.0)
"""Upper ends in degrees, each in its group, of AFLW2000's protocol (Zhu et al. 2016): the last is called 60 to 90, and
3DDFA's script leaves nothing out above."""
MEAN = "mean face"
Encode = Callable[[Sequence[PhotoFace]], EncodedFace]
Rows = dict[str, dict[str, np.ndarray]]
"""Row -> figure -> a value per entry of the set (NaN: none)."""


def now_distances(sample: Mapping[str, np.ndarray], shape: Estimate) -> np.ndarray:
    """(N,) millimetres from the scan's vertices within NoW's radius to the mesh, after a similarity by seven points and
    its refinement to the closest points (Sanyal et al. 2019)."""
    entries = (sample[name].astype(np.float64) for name in ("vertices", "seven", "nose_tip", "bridge"))
    return scan_to_mesh(*entries, shape.vertices, shape.faces, shape.seven).millimetres


def micc_error(sample: Mapping[str, np.ndarray], shape: Estimate) -> float:
    """Mean distance in millimetres from the scan's vertices within 95 mm of the nose tip to the planes of their closest
    triangles, after alignment as in ``now_distances``."""
    scan = sample["vertices"].astype(np.float64)
    points = scan[np.linalg.norm(scan - sample["nose_tip"], axis=1) < MICC_RADIUS]
    start = fit_similarity(shape.seven, sample["seven"])
    closest = Closest(start.apply(shape.vertices), shape.faces)
    placed = refine_alignment(points, closest)
    local = placed.undone(points)
    hit, barycentrics, _ = closest(local)
    away = local - (closest.corners[hit] * barycentrics[:, :, None]).sum(1)
    return float(np.abs((away * closest.normals[hit]).sum(1)).mean() * placed.scale * METRES_TO_MM)


def box_nme(predicted: np.ndarray, true: np.ndarray) -> float:
    """AFLW2000's NME: mean distance of landmarks (68, 2), per cent of the root of their bounding box's area."""
    sides = true[:, :2].max(0) - true[:, :2].min(0)
    return float(100 * np.linalg.norm(predicted[:, :2] - true[:, :2], axis=1).mean() / np.sqrt(sides.prod()))


def by_yaw(errors: np.ndarray, yaws: np.ndarray) -> dict[str, float]:
    """Means of errors (N,) in the groups of ``YAWS`` of the absolute yaws (N,) in degrees, and the groups' mean."""
    means = []
    for low, high in zip((-1.0, *YAWS), YAWS, strict=False):
        chosen = (np.abs(yaws) > low) & (np.abs(yaws) <= high) & np.isfinite(errors)
        means.append(float(errors[chosen].mean()) if chosen.any() else float("nan"))
    names = ("nme.0_30", "nme.30_60", "nme.60_90")
    return dict(zip(names, means, strict=True)) | {
        "nme": float(np.nanmean(means)) if np.isfinite(means).any() else np.nan
    }


def three_views(yaws: Sequence[float]) -> list[int]:
    """Numbers of the photos that face most to the left, to the front and to the right (MVF-Net's protocol)."""
    turned = np.asarray(yaws)
    return list(dict.fromkeys([int(turned.argmin()), int(np.abs(turned).argmin()), int(turned.argmax())]))


def encoder(folder: Path | None, model: str) -> Encode:
    """The encoder of the graph model or of the learned basis: faces of one person -> its result."""
    if model == "graph":
        graph = GraphModel.load(folder)
        return lambda faces: graph_face(faces, graph)
    basis = BasisModel.load(folder)
    return lambda faces: encoded_face(faces, basis)


def shape_of(offsets: np.ndarray) -> Estimate:
    """The head with skin vertices moved by offsets (V_head, 3) in metres from the template's."""
    template = load_template()
    return as_estimate(template.vertices + template.following_skin(offsets))


class PhotoFinder:
    """Faces in a set's photographs, by their stored names; frames of videos are written to a temporary folder."""

    def __init__(self, data: PreparedSet) -> None:
        self._data = data
        self._scratch = tempfile.TemporaryDirectory()
        self._found: dict[str, PhotoFace | None] = {}

    def __call__(self, name: str) -> PhotoFace | None:
        """The largest face, or None."""
        if name not in self._found:
            path, _, frame = name.partition("#")
            try:
                file = self._data.photo(path)
                if frame:
                    file = frame_of(file, int(frame), FRAMES, Path(self._scratch.name) / f"{len(self._found)}.png")
                self._found[name] = next(iter(found_faces([file])), None)
            except LeftOut:
                self._found[name] = None
        return self._found[name]


class Reconstructor:
    """Neutral heads from a set's photographs: by the product's whole fit (``product``), or by the encoder of ``graph``
    or ``learned_basis``."""

    def __init__(self, method: str, folder: Path | None, data: PreparedSet) -> None:
        """folder : the exported model (None: the shipped one); the fit has none."""
        if method == "product" and folder is not None:
            raise SetError("The product's fit has no one model.", "Leave --model away, or name a method that has one.")
        self.find = PhotoFinder(data)
        self._encode = None if method == "product" else encoder(folder, method)

    def __call__(self, names: Sequence[str]) -> np.ndarray | None:
        """(V_head, 3) metres from the template's skin, from one person's photographs together; None without a face."""
        faces = [face for face in map(self.find, names) if face is not None]
        if not faces:
            return None
        if self._encode is not None:
            return self._encode(faces).identity
        template = load_template()
        neutral = fitted(PhotoCollection(tuple(faces)), Variant()).neutral
        return (neutral - template.vertices)[: template.head.vertex_stop]


def micc(method: str, folder: Path | None, data: PreparedSet, most: int, sheet: list) -> Rows:
    """Mean point-to-plane distance of each subject and condition: from all frames of a video at once (an encoder: the
    mean of their identity codes), from three views, and the mean over single frames."""
    reconstruct = Reconstructor(method, folder, data)
    conditions = ("cooperative", "indoor", "outdoor")
    kinds = (OURS, "ours, three views", "ours, each frame", MEAN)
    rows: dict[str, dict[str, list[float]]] = {kind: {name: [] for name in conditions} for kind in kinds}
    zero = np.zeros((load_template().head.vertex_stop, 3))
    for sample in data.samples(most):
        for condition in conditions:
            names = [str(p) for p, g in zip(sample["photos"], sample["groups"], strict=True) if g.lower() == condition]
            names = [name for name in names if reconstruct.find(name) is not None]
            if not names:
                for kind in kinds:
                    rows[kind][condition].append(np.nan)
                continue
            alone = [reconstruct([name]) for name in names]
            chosen = three_views([reconstruct.find(name).yaw_degrees for name in names])
            views = (
                reconstruct([names[k] for k in chosen])
                if method == "product"
                else np.mean([alone[k] for k in chosen], 0)
            )
            for kind, heads in zip(kinds, ([reconstruct(names)], [views], alone, [zero]), strict=True):
                errors = [micc_error(sample, shape_of(offsets)) for offsets in heads]
                rows[kind][condition].append(float(np.mean(errors)))
    return {kind: {name: np.array(errors) for name, errors in row.items()} for kind, row in rows.items()}


def bu3dfe(folder: Path | None, data: PreparedSet, most: int, sheet: list) -> Rows:
    """Root mean square distance in millimetres from each scan to the face of its picture, expression included, aligned
    by a similarity. The paper's correspondences by non-rigid registration are not published; ours are closest
    points, which are never farther."""
    encode, find = encoder(folder, "learned_basis"), PhotoFinder(data)
    rows: dict[str, list[float]] = {OURS: [], MEAN: []}
    zero = np.zeros((load_template().head.vertex_stop, 3))
    for sample in data.samples(most):
        face = find(str(sample["photos"][0]))
        errors = (np.nan, np.nan)
        if face is not None:
            codes = encode([face])
            offsets = codes.identity + codes.photos[0].expression
            both = (now_distances(sample, shape_of(moved)) for moved in (offsets, zero))
            errors = tuple(float(np.sqrt((distances**2).mean())) for distances in both)
        for name, error in zip(rows, errors, strict=True):
            rows[name].append(error)
    return {name: {"rms": np.array(errors)} for name, errors in rows.items()}


def face_batch(picture: np.ndarray, size: int, neutral: bool) -> FaceBatch | None:
    """A picture (H, W, 3) uint8 as a batch of one, cut and labelled like a portrait; None without a face."""
    portrait = portrait_of(picture, CacheSettings(size, "face", 0.0, True, "label_face"))
    if portrait is None:
        return None
    marks = torch.from_numpy(portrait.landmarks[None, :LANDMARKS])
    inside = ((marks >= 0) & (marks < size)).all(-1)
    return FaceBatch(
        images=torch.from_numpy(portrait.crop)[None].permute(0, 3, 1, 2).float() / 255,
        labels=torch.from_numpy(portrait.labels[None]),
        landmarks=marks,
        landmark_weight=inside * torch.from_numpy(landmark_weights()),
        slides=torch.ones(1, dtype=torch.bool),
        is_grey=torch.zeros(1, dtype=torch.bool),
        neutral=torch.tensor([neutral]),
        set_of=torch.zeros(1, dtype=torch.int64),
        truth=None,
    )


@torch.no_grad()
def lips(folder: Path | None, data: PreparedSet, most: int, sheet: list) -> Rows:
    """Intersection over union of our rendered lips with the set's masks, at the network's resolution; and of the set's
    usual lips, which know nobody."""
    network, rows = BasisModel.load(folder).network, []
    wanted = []
    size = network.config.size
    for sample in data.samples(most):
        batch, window = face_batch(sample["picture"], size, False), face_window(sample["picture"])
        if batch is None or window is None:
            continue
        true = [window.cut(mask.astype(np.uint8) * 255, size) > 127 for mask in sample["lips"]]
        code = encode_again(network, batch)
        pixels = code.pose.cameras(size).project(network.face(code).vertices)
        drawn = [mask[0].numpy() for mask in lip_pictures(network.bases, pixels, size)]
        rows.append([_iou(a, b) for a, b in zip(drawn, true, strict=True)])
        wanted.append(true)
        if len(sheet) < SHOWN:
            crop = (batch.images[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8)
            sheet.append([tile(crop), *(tile(_marked(crop, masks)) for masks in (drawn, true))])
    usual = np.mean(wanted, 0) > 0.5
    means = [[_iou(a, b) for a, b in zip(usual, true, strict=True)] for true in wanted]
    tables = {OURS: np.array(rows).reshape(-1, 2).T, MEAN: np.array(means).reshape(-1, 2).T}
    return {name: dict(zip(("iou.upper", "iou.lower"), values, strict=True)) for name, values in tables.items()}


def _iou(predicted: np.ndarray, wanted: np.ndarray) -> float:
    return float((predicted & wanted).sum() / (predicted | wanted).sum()) if wanted.any() else float("nan")


def _marked(picture: np.ndarray, masks: Sequence[np.ndarray]) -> np.ndarray:
    shown = picture.copy()
    for mask, colour in zip(masks, ((255, 80, 80), (80, 120, 255)), strict=True):
        shown[mask] = colour
    return shown


@torch.no_grad()
def neutral_motion(folder: Path | None, data: PreparedSet, most: int, sheet: list) -> Rows:
    """The paper's AE: mean length in millimetres of the expression's offsets on the skin, on neutral pictures."""
    network, rows = BasisModel.load(folder).network, []
    cage, size = network.bases.surface.cage, network.config.size
    skin = network.bases.surface.face[:cage] > 0.5
    for sample in data.samples(most):
        if not str(sample["groups"][0]).startswith("NE"):
            continue
        try:
            batch = face_batch(pixels_of(data.photo(str(sample["photos"][0]))), size, True)
        except LeftOut:
            batch = None
        if batch is None:
            rows.append(np.nan)
            continue
        face = network.face(encode_again(network, batch))
        moved = (face.vertices - face.neutral)[0, :cage][skin]
        rows.append(float(moved.norm(dim=-1).mean()) * METRES_TO_MM)
    return {OURS: {"motion": np.array(rows)}}


@torch.no_grad()
def aflw2000(folder: Path | None, data: PreparedSet, most: int, sheet: list) -> Rows:
    """NME of the graph model's 68 landmarks in each picture, and of the mean face's in the same pose, and the picture's
    yaw; NaN where no face is found."""
    model = GraphModel.load(folder)
    marks68 = load_template().landmarks68
    errors: dict[str, list[float]] = {OURS: [], MEAN: []}
    yaws = []
    with tempfile.TemporaryDirectory() as scratch:
        for number, sample in enumerate(data.samples(most)):
            path = Path(scratch) / f"{number}.png"
            cv2.imwrite(str(path), sample["picture"][..., ::-1])
            face = next(iter(found_faces([path])), None)
            yaws.append(float(sample["angles"][1]))
            if face is None:
                for row in errors.values():
                    row.append(np.nan)
                continue
            windows, _, codes = read_codes([face], model)
            shapes = model.network.shape(codes.identity, codes.expression)[0], model.network.mean
            for name, shape in zip((MEAN, OURS), shapes[::-1], strict=True):
                points = marks68.positions(shape.double().cpu().numpy())
                projected = codes.pose.project(torch.from_numpy(points)[None].float())[0].numpy()
                pixels = windows[0].to_picture(projected, 1.0) / face.crop_scale + np.array(face.crop_offset)
                errors[name].append(box_nme(pixels, sample["landmarks"].astype(np.float64)))
            if len(sheet) < SHOWN:
                dotted = (_dotted(sample["picture"], points) for points in (pixels, sample["landmarks"]))
                sheet.append([tile(sample["picture"]), *map(tile, dotted)])
    return {name: {"nme": np.array(row), "yaw": np.array(yaws)} for name, row in errors.items()}


def yaw_figures(values: Mapping[str, np.ndarray]) -> dict[str, float]:
    """NME by yaw, and the share of pictures with a face."""
    valid = np.isfinite(values["nme"])
    return by_yaw(values["nme"], values["yaw"]) | {"found": float(valid.mean()) if len(valid) else float("nan")}


def _dotted(picture: np.ndarray, points: np.ndarray) -> np.ndarray:
    shown = np.ascontiguousarray(picture).copy()
    for x, y in points[:, :2]:
        cv2.circle(shown, (round(float(x)), round(float(y))), max(1, len(shown) // 128), (60, 255, 60), -1)
    return shown
