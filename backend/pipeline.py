"""Photos to ``FaceAsset``: the whole story on one page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from backend.canonical.canonical_face import CanonicalFace
from backend.canonical.networks import canonical_face, computing_device, lap_model
from backend.choices import FACE_MODELS, HAIRS, QUALITIES, TEXTURE_SIZES
from backend.detail.find import FoundDetail, detail_model, find_detail
from backend.encoded.encoded_face import EncodedFace
from backend.encoded.graph_encoder import graph_face, graph_model, template_around
from backend.encoded.networks import basis_model, encoded_face
from backend.errors import LikenessError
from backend.exchange.assemble import assemble, asset_photo
from backend.exchange.face_asset import FaceAsset
from backend.exchange.json_files import build_report
from backend.exchange.preview import PhotoPreview, photo_previews
from backend.fitting.fit import fit_face
from backend.fitting.fitted_face import FittedFace
from backend.fitting.options import fit_options_for
from backend.fitting.personalise_bases import personalise
from backend.geometry.template import load_template
from backend.hair.cards import hair_cards
from backend.hair.fit_hair import fit_hair
from backend.models.checkpoints import MODEL_NAMES, NOT_TRAINED, NOT_USED
from backend.models.detail import MODEL_NAME as DETAIL
from backend.models.graph_face import MODEL_NAME as GRAPH_FACE
from backend.models.landmarks import MODEL_NAME as LANDMARKS
from backend.models.lap import MODEL_NAME as LAP
from backend.models.learned_basis import MODEL_NAME as LEARNED_BASIS
from backend.models.parsing import MODEL_NAME as PARSING
from backend.models.parsing import OPINION_NAME as PARSING_OPINION
from backend.parallel import beside
from backend.photos.collect import CollectOptions, collect
from backend.photos.collection import PhotoCollection, PhotoFace
from backend.photos.masks import face_parser, second_parser_version
from backend.photos.read import PhotoSource
from backend.photos.surface_landmarks import surface_landmarker
from backend.progress import HeadPreview, PreviewReceiver, ProgressReporter, StageClock, no_preview, silent
from backend.rig.personalise import personalise_keys
from backend.texture.albedo import build_albedo


@dataclass(frozen=True)
class ReconstructOptions:
    """What a reconstruction may be told.

    Attributes
    ----------
    quality : ``fast`` (landmarks only), ``standard`` or ``best``.
    texture_size : side of the albedo texture in pixels.
    device : ``auto``, ``cpu`` or ``cuda``: where LAP and the learned face model run. All else runs on the CPU.
    lap : whether LAP's canonical face takes part, where its networks are trained.
    learned_basis : whether the learned face model's encoder starts the fit, where it is trained.
    personalise : whether its bases are tuned on the photos first.
    face_model : ``linear``, or ``graph``: the fit moves in the graph face model's decoder, where it is trained, and its
        encoder starts the fit instead of the learned face model's.
    hair : ``none``, ``cards`` or ``curves``: what is handed on of the hair; the scalp is shaded where it grows always.
    detail : whether wrinkles and pores are looked for, where that network is trained.
    collect : limits and settings of the photo stage.
    """

    quality: str = "standard"
    texture_size: int = 2048
    device: str = "auto"
    lap: bool = True
    learned_basis: bool = True
    personalise: bool = False
    face_model: str = "linear"
    hair: str = "curves"
    detail: bool = True
    collect: CollectOptions = field(default_factory=CollectOptions)

    def __post_init__(self) -> None:
        if self.quality not in QUALITIES:
            raise LikenessError("usage", f"Unknown quality {self.quality!r}.", f"Use one of {', '.join(QUALITIES)}.")
        if self.hair not in HAIRS:
            raise LikenessError("usage", f"Unknown hair {self.hair!r}.", f"Use one of {', '.join(HAIRS)}.")
        if self.face_model not in FACE_MODELS:
            known = ", ".join(FACE_MODELS)
            raise LikenessError("usage", f"Unknown face model {self.face_model!r}.", f"Use one of {known}.")
        if self.personalise and self.face_model != "linear":
            raise LikenessError("usage", "Only the linear face model is personalised.", "Leave out one of the two.")
        if self.texture_size not in TEXTURE_SIZES:
            sizes = ", ".join(str(size) for size in TEXTURE_SIZES)
            raise LikenessError("usage", f"Unknown texture size {self.texture_size}.", f"Use one of {sizes}.")


@dataclass(frozen=True)
class Reconstruction:
    """A finished head, and what the preview shows of each used photo."""

    asset: FaceAsset
    previews: tuple[PhotoPreview, ...]
    collection: PhotoCollection
    fitted: FittedFace


def without_models(options: ReconstructOptions) -> dict[str, str]:
    """Name of each model -> why it took no part, if it takes none: switched off, or not trained."""
    wanted = {LANDMARKS: options.collect.surface, LAP: options.lap, LEARNED_BASIS: options.learned_basis}
    wanted |= {DETAIL: options.detail, GRAPH_FACE: options.face_model == "graph"}
    return {name: NOT_TRAINED if wanted.get(name, True) else NOT_USED for name in MODEL_NAMES}


def reconstruct(
    sources: Sequence[PhotoSource],
    options: ReconstructOptions | None = None,
    progress: ProgressReporter = silent,
    preview: PreviewReceiver = no_preview,
) -> Reconstruction:
    """Reconstruct one person's head from photos.

    ``preview`` is called with the head as far as it is whenever the fit has come further.

    Raises
    ------
    LikenessError : with a sentence for the person (no photo, no face, unknown option).
    errors.Cancelled : when ``progress`` raised it.
    """
    options = options or ReconstructOptions()
    clock = StageClock()

    def show(stage: str, neutral: np.ndarray, colors: np.ndarray | None = None) -> None:
        head = template.head
        vertices = neutral[head.vertex_start : head.vertex_stop].astype(np.float32)
        preview(HeadPreview(stage, vertices, template.quads[head.face_start : head.face_stop], colors))

    nets = options.lap or options.learned_basis or options.face_model == "graph"
    device = computing_device(options.device) if nets else "cpu"
    loaded = beside(  # while photos are read
        lambda: (
            load_template(),
            lap_model(device, options.collect.surface) if options.lap else None,
            basis_model(device) if options.learned_basis else None,
            graph_model(device, options.collect.surface) if options.face_model == "graph" else None,
        )
    )

    def canonical(photos: tuple[PhotoFace, ...]) -> CanonicalFace | None:
        return None if networks is None else canonical_face(photos, networks, progress)

    def encoded(photos: tuple[PhotoFace, ...]) -> EncodedFace | None:
        if graph is not None:
            return graph_face(photos, graph, progress)
        return None if basis is None else encoded_face(photos, basis, progress)

    with clock.stage("photos"):
        collection = collect(sources, progress=progress, options=options.collect)
    template, networks, basis, graph = loaded()
    modes_around = None
    if graph is not None:
        basis, modes_around = None, partial(template_around, template, graph)
    personal = None
    if options.personalise and basis is not None:
        with clock.stage("personalise"):
            personal = personalise(collection.faces, basis, progress=progress)
            basis = personal.model
    with clock.stage("fit"):
        fit_options = fit_options_for(options.quality)
        fitted = fit_face(collection, fit_options, progress, template, show, canonical, encoded, modes_around)
        show("appearance", fitted.neutral, fitted.vertex_albedo)
    faces = {face.name: face for face in collection.faces}
    used = tuple(faces[photo.name] for photo in fitted.photos)
    with clock.stage("rig"):
        progress("rig", 0.0)
        keys = personalise_keys(template, fitted.neutral)
        progress("rig", 1.0)
    with clock.stage("hair"):
        found = fit_hair(template, fitted, used, progress)
    with clock.stage("texture"):
        texture = build_albedo(template, fitted, used, options.texture_size, found.strands, progress)
    relief, wrinkles = FoundDetail(None, (), ""), detail_model() if options.detail else None
    if wrinkles is not None:
        with clock.stage("detail"):
            relief = find_detail(template, fitted, used, keys, min(options.texture_size, 2048), wrinkles, progress)
    strands = None if options.hair == "none" else found.strands
    cards = hair_cards(strands) if options.hair == "cards" and strands is not None else None
    photos = tuple(asset_photo(photo, face) for photo, face in zip(fitted.photos, used, strict=True))
    parser = face_parser()
    models = without_models(options)
    if parser is not None:
        models[PARSING] = parser.version
        models[PARSING_OPINION] = second_parser_version()
    landmarker = surface_landmarker() if options.collect.surface else None
    if landmarker is not None:
        models[LANDMARKS] = landmarker.version
    if networks is not None:
        models[LAP] = networks.version
    if basis is not None:
        models[LEARNED_BASIS] = basis.version
    if graph is not None:
        models |= {GRAPH_FACE: graph.version, LEARNED_BASIS: NOT_USED}
    if wrinkles is not None:
        models[DETAIL] = wrinkles.version
    report = build_report(
        collection.verdicts,
        fitted.rejected,
        photos,
        clock.seconds,
        {
            "quality": options.quality,
            "texture_size": options.texture_size,
            "device": device,
            "landmark_net": options.collect.surface,
            "lap": options.lap,
            "learned_basis": options.learned_basis,
            "personalise": options.personalise,
            "face_model": options.face_model,
            "hair": options.hair,
            "detail": options.detail,
        },
        models,
    )
    report["hair"] = found.to_report()
    report["detail"] = relief.to_report()
    if options.personalise:
        report["personalised"] = models[LEARNED_BASIS] if personal is None else personal.to_report()
    asset = assemble(template, fitted.neutral, keys, texture.albedo, photos, report, strands, cards, relief.detail)
    face_region = template.regions["face"][template.head.vertex_start : template.head.vertex_stop]
    previews = photo_previews(asset, fitted, used, face_region)
    return Reconstruction(asset, previews, collection, fitted)
