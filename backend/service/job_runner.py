"""The worker's runner (see ``worker`` for the interface): photos to a head, and transfers.

It keeps the last job's photos and fit, for fast updates while a user drags landmarks, and what the last head's hair and
texture are made from.
"""

import hashlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch

from backend import pipeline
from backend.errors import LikenessError
from backend.exchange.assemble import with_pictures
from backend.exchange.asset_mesh import portrait_camera
from backend.exchange.buffers import BufferList, WireMessage
from backend.exchange.face_asset import FaceAsset
from backend.exchange.preview import front_portrait
from backend.exchange.wire import encode_face, pack_relief
from backend.fitting.stages import FittedFace
from backend.geometry.template import Template, load_template, triangles_from_quads
from backend.hair.fit_hair import HairLook
from backend.hair.look import check_look
from backend.models.registry import MODELS
from backend.options import options_of
from backend.photos import networks
from backend.photos.collect import CollectOptions, collect
from backend.photos.collection import READING, PhotoCollection, PhotoSource
from backend.photos.reading import start_reading
from backend.progress import SENDING, ProgressReporter, silent
from backend.rendering.render import STUDIO_LIGHT, render_linear
from backend.rig.mouth import with_plain_teeth
from backend.service.messages import Task
from backend.service.worker import JobReporter
from backend.system.processes import release_freed_memory
from backend.texture.albedo import AlbedoResult, TextureLayers, finish_albedo
from backend.texture.edits import check_edits
from backend.texture.facial_hair import FacialHair, grow_facial_hair
from protocol.message import HEAD_METRES
from protocol.options import HAIR_OPTIONS, REMADE

IDLE_SECONDS = 120.0
"""Time that faces are kept after their last use: a user drags the next point within a minute."""
MOST_BYTES = 300 * 2**20
"""Limit on pixels and labels: 18 crops of the largest size. Larger collections are read again."""
V = TypeVar("V")


class Kept(Generic[V]):
    """One thing that is kept for ``seconds``, or until one of the jobs that used it is forgotten."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._lock = seconds, threading.Lock()
        self._tokens: set[str] = set()
        self._timer: threading.Timer | None = None
        self.value: V | None = None

    def keep(self, value: V, token: str) -> None:
        """Keep it, in the place of another, for the job with that token."""
        with self._lock:
            self._tokens = {token} | (self._tokens if value is self.value else set())
            self.value = value
            if self._timer is not None:
                self._timer.cancel()
            self._timer = threading.Timer(self._seconds, self.forget)
            self._timer.daemon = True
            self._timer.start()

    def of(self, token: str) -> V | None:
        """What is kept, if the job with that token used it."""
        with self._lock:
            return self.value if token in self._tokens else None

    def forget(self, token: str | None = None) -> None:
        """Drop it, if the job with that token used it (None: whoever did)."""
        with self._lock:
            if token is None or token in self._tokens:
                self._tokens, self.value = set(), None


@dataclass
class _CachedPhotos:
    key: str
    collection: PhotoCollection
    fit: pipeline.CachedFit | None = None


class CachedFaces(pipeline.PhotoCache):
    """Keeps the last photos that were read, and their fit, for ``idle_seconds``; ``token`` is that of the job which
    reads now."""

    def __init__(self, idle_seconds: float = IDLE_SECONDS) -> None:
        self.kept: Kept[_CachedPhotos] = Kept(idle_seconds)
        self.token = ""

    def read(
        self, sources: Sequence[PhotoSource], *, progress: ProgressReporter = silent, options: CollectOptions
    ) -> PhotoCollection:
        """As ``photos.collect.collect``, from the cache where the same photos were read last."""
        key = _key(sources, options)
        cached = self.kept.value
        if cached is None or cached.key != key:
            self.kept.forget()  # before reading, so that only one of both is in memory
            cached = _CachedPhotos(key, collect(sources, progress=progress, options=options))
        progress("photos", 1.0)
        if sum(face.pixels.nbytes + face.labels.nbytes for face in cached.collection.faces) <= MOST_BYTES:
            self.kept.keep(cached, self.token)
        return cached.collection

    def keep_fit(self, fit: pipeline.CachedFit) -> None:
        """Keep the fit of the photos as long as they are kept."""
        if (cached := self.kept.value) is not None:
            cached.fit = fit

    @property
    def fit(self) -> pipeline.CachedFit | None:
        """The last fit, None if it is not kept."""
        cached = self.kept.value
        return None if cached is None else cached.fit


def _key(sources: Sequence[PhotoSource], options: CollectOptions) -> str:
    """SHA-256 of names, contents and limits."""
    digest = hashlib.sha256(repr((options.max_used, options.max_crop_side, options.surface)).encode())
    for source in sources:
        data = source.data if source.path is None else source.path.read_bytes()
        digest.update(repr((source.name, hashlib.sha256(data or b"").hexdigest())).encode())
    return digest.hexdigest()


PREVIEW_SIDE = 256
PREVIEW_YAW = 20.0
_BACKGROUND = (58, 58, 58)
_TRANSFERS = "backend.expression.transfer"
"""Imported with the first transfer, or later, so that a first reconstruction does not wait for it."""
TRANSFER_VERSION = 1
"""Of the format of a transfer's result."""
LATER_BYTES = 240 * 2**20
"""Memory of everything that ``later`` loads (226 MB measured)."""
_server_device = "auto"
_cached_faces = CachedFaces()
HAIR_IDLE_SECONDS = 900.0
"""Time that what hair grows from and the texture is painted from (some 15 and 13 MB a photo, and 35 MB at 2 k) is kept
after the last head: hairstyles and textures are tried for a while."""


@dataclass(frozen=True)
class GrownHead:
    """What other hairstyles and textures of a head are made from, as stages of ``pipeline`` made it by ``options``;
    ``asset`` is its shape alone, ``albedo`` its texture with the whole beard, ``layers`` None where they are too large
    to keep."""

    options: pipeline.ReconstructOptions
    fit: FittedFace
    hairline: pipeline.Hairline
    look: HairLook | None
    template: Template
    tone: np.ndarray
    asset: FaceAsset
    beard: FacialHair
    albedo: np.ndarray
    layers: TextureLayers | None

    def with_texture(self, wanted: pipeline.ReconstructOptions) -> FaceAsset:
        """The shape with the texture that ``wanted`` asks for. Raises ``LikenessError`` "usage" where the layers are
        not kept, and as ``check_edits`` does."""
        if self.layers is None:
            advice = "Solve the head again with fewer photos or a smaller texture."
            raise LikenessError("usage", "This head's texture is too large to be kept and painted anew.", advice)
        edits = pipeline.edits_of(wanted, self.template, self.fit.neutral)
        check_edits(self.layers.skin, edits)
        asset = with_pictures(self.asset, self.template, self.beard.uncovered(finish_albedo(self.layers, edits)))
        return replace(asset, report={"settings": {}})

    def with_hair(self, wanted: pipeline.ReconstructOptions, progress: ProgressReporter) -> FaceAsset:
        """The shape with hair and beard of the look and in the style of ``wanted``, and what the report says of it.
        Raises ``LikenessError`` for a look that is no photo of the head."""
        changed = {name: getattr(wanted, name) for name in HAIR_OPTIONS}
        options, look, beard, skin = replace(self.options, **changed), self.look, self.beard, None
        if look is None or options.look not in (self.options.look, look.look.leader):
            if options.look:
                check_look(options.look, [photo.name for photo in self.fit.photos])
            look = pipeline.look_at_hair(self.fit, self.hairline, self.template, options)
            glasses = pipeline.look_at_glasses(self.fit, self.hairline, look, self.template)
            skin = pipeline.photos_of_skin(self.fit, self.hairline, look, glasses, self.template)
        found = pipeline.grow_hair(self.fit, self.hairline, look, self.template, options, pipeline.Watch(progress))
        if skin is not None and options.facial_hair:
            beard = grow_facial_hair(self.template, skin.fitted, skin.faces, self.albedo, found.strands, look.kind)
        strands = pipeline.exported_hair(self.asset, found, beard, self.tone, options)
        return replace(self.asset, hair_strands=strands, report={"hair": found.to_report(), "settings": changed})


def _grown_head(
    options: pipeline.ReconstructOptions,
    fit: FittedFace,
    hairline: pipeline.Hairline,
    look: HairLook | None,
    template: Template,
    tone: np.ndarray,
    shape: FaceAsset,
    dressed: FaceAsset,
    beard: FacialHair,
    texture: AlbedoResult,
) -> GrownHead:
    """The stage of a whole job that keeps what other hairstyles and textures are made from."""
    layers = texture.layers if texture.layers.skin.nbytes <= MOST_BYTES else None
    bare = replace(shape, photos=dressed.photos)
    return GrownHead(options, fit, hairline, look, template, tone, bare, beard, texture.albedo, layers)


_kept_head: Kept[GrownHead] = Kept(HAIR_IDLE_SECONDS)


def forget(token: str | None) -> None:
    """Drop what is kept of the job with that token, or of all jobs (see ``worker``)."""
    _cached_faces.kept.forget(token)
    _kept_head.forget(token)
    release_freed_memory()


def _head_of(token: str) -> GrownHead:
    """The head of the job ``token``. Raises ``LikenessError`` where it is gone."""
    if (head := _kept_head.of(token)) is None:
        advice = "Solve the head again; hair and texture can then be changed for a quarter of an hour."
        raise LikenessError("usage", "The backend does not have this head any more.", advice)
    return head


def warm(device: str) -> None:
    """Load what reading a photo needs.

    Raises ``LikenessError`` ("missing_part") for CUDA that is not there.
    """
    global _server_device
    _server_device = device
    start_reading(READING.most_decoders)
    _device(device)
    for network in networks.SHA256:
        networks.network(network)


def later(device: str) -> tuple[Callable[[], object], ...]:
    """Loaders of one thing each that a job needs later. A job that comes earlier loads them itself while its photos are
    read: 0.01 to 0.7 s each on two cores."""
    kind = _device(device)
    models = (partial(model.open, kind) for model in MODELS if model.by_default)
    return (*models, _draw_template, partial(import_module, _TRANSFERS))


def _draw_template() -> None:
    """Compile and load what previews need."""
    template = load_template()
    head = template.head
    preview_message(pipeline.HeadPreview("", template.vertices[: head.vertex_stop], template.quads[: head.face_stop]))


def run(task: Task, report: JobReporter) -> WireMessage:
    """Run one job. Raises ``LikenessError``."""
    if task.kind == "transfer":
        return _transfer(task, report)
    return _reconstruct(task, report)


def _reconstruct(task: Task, report: JobReporter) -> WireMessage:
    wanted = task.options.device if task.options.device != "auto" else _server_device
    only = task.options.only
    options = pipeline.ReconstructOptions(
        **options_of(task.options),
        device=_device(wanted),
        corrections=task.options.corrections,
        geometry_only=only == "geometry",
    )
    if only in REMADE:
        kept = _head_of(task.options.head)
        made = kept.with_hair(options, report) if only == "hair" else kept.with_texture(options)
        message = encode_face(made, only=only)
        report(SENDING, 1.0)
        return message
    sources = [PhotoSource(name, path=Path(path)) for name, path in zip(task.names, task.paths, strict=True)]

    def show(preview: pipeline.HeadPreview) -> None:
        report.preview(preview.stage, preview_message(preview))

    _cached_faces.token = task.token
    output = {} if options.geometry_only else {"relief": pack_relief, "grown": _grown_head}
    head = pipeline.reconstruct(sources, options, pipeline.Watch(report, show, _cached_faces), output)
    report(SENDING, 0.0)
    if "grown" in head.output:
        _kept_head.keep(head.output["grown"], task.token)
    portrait = None if options.geometry_only else front_portrait(head.asset)
    message = encode_face(head.asset, head.output.get("relief"), portrait, only)
    report(SENDING, 1.0)
    return message


def _transfer(task: Task, report: ProgressReporter) -> WireMessage:
    """Photos or a video to the content of ``expression.json``."""
    from backend.expression import clip, transfer

    paths, subject = [Path(path) for path in task.paths], None
    if task.identity is not None:
        subject = _subject(Path(task.identity))
    if task.video:
        try:
            take = transfer.transfer_video(paths[0], subject, report)
        except LikenessError as error:  # replace the server's file name by the client's
            sentence = error.sentence.replace(str(paths[0]), task.names[0])
            raise LikenessError(error.code, sentence, error.advice) from error
        take = replace(take, source=task.names[0])
    else:
        name = task.names[0] if len(task.names) == 1 else f"{len(task.names)} photos"
        photos = list(zip(task.names, paths, strict=True))
        take = transfer.transfer_photos(name, photos, subject, report)
    buffers = BufferList()
    buffers.add_file("expression", clip.clip_bytes(take), "application/json")
    return buffers.message({"kind": "transfer", "version": TRANSFER_VERSION})


def _subject(path: Path) -> Any:
    """The rig of the neutral head in a file. Raises ``LikenessError`` with code "usage" if it is not a head."""
    from backend.expression.subject import subject_of

    vertices = np.frombuffer(path.read_bytes(), "<f4").reshape(-1, 3)
    template = load_template()
    if (
        vertices.shape != template.vertices.shape
        or not np.isfinite(vertices).all()
        or np.abs(vertices).max() > HEAD_METRES
    ):
        sentence = "The head that came with the pictures is not one that this version of Likeness made."
        advice = "Choose a head of this version that has all its parts, or let the face be solved from the pictures."
        raise LikenessError("usage", sentence, advice)
    return subject_of(with_plain_teeth(template, vertices))


def preview_message(preview: pipeline.HeadPreview) -> WireMessage:
    """A picture of the head so far."""
    triangles = triangles_from_quads(preview.quads)
    camera = portrait_camera(preview.vertices, PREVIEW_YAW, (PREVIEW_SIDE, PREVIEW_SIDE))
    picture = render_linear(preview.vertices, triangles, camera, colors=preview.colors, light=STUDIO_LIGHT).over(
        _BACKGROUND
    )
    buffers = BufferList()
    buffers.add_picture("picture", picture)
    return buffers.message({})


def _device(wanted: str) -> str:
    """``cpu`` or ``cuda``; raises ``LikenessError`` ("missing_part") for CUDA that is not there."""
    cuda = torch.cuda.is_available()
    if wanted == "cuda" and not cuda:
        advice = "Choose automatic or the CPU, or install the backend's CUDA build."
        raise LikenessError("missing_part", "The backend finds no CUDA device.", advice)
    return "cuda" if cuda and wanted != "cpu" else "cpu"
