"""Photos to ``FaceAsset``: the whole story on one page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from backend.choices import HAIRS, QUALITIES, TEXTURE_SIZES
from backend.detail.find import FoundDetail, detail_model, find_detail
from backend.errors import LikenessError
from backend.exchange.assemble import assemble, asset_photo
from backend.exchange.face_asset import FaceAsset
from backend.exchange.json_files import build_report
from backend.exchange.preview import PhotoPreview, photo_previews
from backend.fitting.fit import fit_face
from backend.fitting.fitted_face import FittedFace
from backend.fitting.options import fit_options_for
from backend.geometry.template import load_template
from backend.hair.cards import hair_cards
from backend.hair.fit_hair import fit_hair
from backend.models.checkpoints import MODEL_NAMES, NOT_TRAINED, NOT_USED
from backend.models.detail.network import MODEL_NAME as DETAIL
from backend.models.landmarks.apply import surface_landmarker
from backend.models.landmarks.network import MODEL_NAME as LANDMARKS
from backend.models.lap.apply import canonical_face, computing_device, lap_model
from backend.models.lap.canonical_face import CanonicalFace
from backend.models.lap.network import MODEL_NAME as LAP
from backend.models.learned_basis.apply import basis_model, encoded_face
from backend.models.learned_basis.encoded_face import EncodedFace
from backend.models.learned_basis.network import MODEL_NAME as LEARNED_BASIS
from backend.models.learned_basis.personalise import personalise
from backend.models.parsing.apply import face_parser, second_parser_version
from backend.models.parsing.network import MODEL_NAME as PARSING
from backend.models.parsing.network import OPINION_NAME as PARSING_OPINION
from backend.parallel import beside
from backend.photos.collect import CollectOptions, collect
from backend.photos.collection import PhotoCollection, PhotoFace
from backend.photos.read import PhotoSource
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
    hair: str = "curves"
    detail: bool = True
    collect: CollectOptions = field(default_factory=CollectOptions)

    def __post_init__(self) -> None:
        if self.quality not in QUALITIES:
            raise LikenessError("usage", f"Unknown quality {self.quality!r}.", f"Use one of {', '.join(QUALITIES)}.")
        if self.hair not in HAIRS:
            raise LikenessError("usage", f"Unknown hair {self.hair!r}.", f"Use one of {', '.join(HAIRS)}.")
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
    wanted[DETAIL] = options.detail
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

    device = computing_device(options.device) if options.lap or options.learned_basis else "cpu"
    loaded = beside(  # while photos are read
        lambda: (
            load_template(),
            lap_model(device, options.collect.surface) if options.lap else None,
            basis_model(device) if options.learned_basis else None,
        )
    )

    def canonical(photos: tuple[PhotoFace, ...]) -> CanonicalFace | None:
        return None if networks is None else canonical_face(photos, networks, progress)

    def encoded(photos: tuple[PhotoFace, ...]) -> EncodedFace | None:
        return None if basis is None else encoded_face(photos, basis, progress)

    with clock.stage("photos"):
        collection = collect(sources, progress=progress, options=options.collect)
    template, networks, basis = loaded()
    personal = None
    if options.personalise and basis is not None:
        with clock.stage("personalise"):
            personal = personalise(collection.faces, basis, progress=progress)
            basis = personal.model
    with clock.stage("fit"):
        fitted = fit_face(collection, fit_options_for(options.quality), progress, template, show, canonical, encoded)
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
