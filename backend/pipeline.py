"""The reconstruction pipeline: photos in, ``FaceAsset`` out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import numpy as np

from backend.choices import EVEN_AVERAGE, FACE_MODELS, HAIR_STYLES, HAIRS, NO_SYMMETRY, QUALITIES, TEXTURE_SIZES
from backend.detail.find import NO_DETAIL, find_detail
from backend.errors import LikenessError
from backend.exchange.assemble import assemble, asset_photo
from backend.exchange.face_asset import FaceAsset
from backend.exchange.files import build_report
from backend.exchange.preview import PhotoPreview, photo_previews, tone_change, with_shown_points
from backend.fitting.fit import face_model, fit_face, refit_face
from backend.fitting.fitted_face import FittedFace
from backend.fitting.options import fit_options_for, with_shape_options
from backend.fitting.stages import ResumableFit
from backend.geometry.template import load_template
from backend.hair.attach import over_shoulders
from backend.hair.cards import hair_cards
from backend.hair.fit_hair import check_look, fit_hair
from backend.hair.hair_line import apply_hairline_points
from backend.models.checkpoints import computing_device
from backend.models.contract import applied_to_photos
from backend.models.detail import DetailModel
from backend.models.graph_face import GraphAlbedoModel
from backend.models.lap.apply import LapModel, canonical_face
from backend.models.learned_basis.apply import BasisModel, personalise
from backend.models.registry import (
    DETAIL,
    GRAPH_ALBEDO,
    GRAPH_FACE,
    LANDMARK_NET,
    LAP,
    LEARNED_BASIS,
    SWITCHED,
    left_out,
    open_models,
)
from backend.photos.collect import CollectOptions, PhotoReader, collect, collect_corrected
from backend.photos.collection import PhotoCollection
from backend.photos.corrections import PhotoCorrections
from backend.photos.formats import PhotoSource
from backend.progress import HeadPreview, PreviewReceiver, ProgressReporter, StageClock, no_preview, silent
from backend.rig.mouth import mouth_shapes
from backend.rig.personalise import personalise_keys
from backend.system.parallel import in_thread
from backend.texture.albedo import build_albedo
from backend.texture.unwrap import with_consistent_beards

_SHAPE_AND_HAIR = ("hair", "hair_style", "look", "bust", "symmetry", "average")


@dataclass(frozen=True)
class ReconstructOptions:
    """Options of a reconstruction.

    Attributes
    ----------
    quality : ``fast`` (landmarks only), ``standard`` or ``best``.
    texture_size : side of the albedo texture in pixels.
    device : ``auto``, ``cpu`` or ``cuda``, for models that can use a GPU. All else runs on the CPU.
    without : names of learned models that are switched off (``registry.left_out``).
    personalise : whether to tune the learned face model's bases on the photos first.
    face_model : ``linear``, or ``graph``: the fit uses the graph face model's decoder, if it is trained, and its
        encoder starts the fit instead of the learned face model's.
    hair : ``none``, ``cards`` or ``curves``: form in which hair is exported; the scalp is always shaded where hair
        grows.
    hair_style : ``auto``, or the name of a hairstyle, whose length, direction and volume then come from the photos.
    look : name of the photo whose hair and beard the head gets, with those that show the same; empty: chosen.
    bust : whether to add neck and shoulders to the head.
    symmetry, average : from 0 to 1: how much of the shape's asymmetry is removed, and how strongly the shape is drawn
        to the average face (``with_shape_options``).
    corrections : landmark positions, use and masks of photos, set by the user, by photo name.
    geometry_only : compute only shape, keys and cameras: no albedo, hair and relief.
    collect : limits and settings of the photo stage.
    """

    quality: str = "standard"
    texture_size: int = 2048
    device: str = "auto"
    without: frozenset[str] = frozenset()
    personalise: bool = False
    face_model: str = "linear"
    hair: str = "curves"
    hair_style: str = "auto"
    look: str = ""
    bust: bool = False
    symmetry: float = NO_SYMMETRY
    average: float = EVEN_AVERAGE
    corrections: tuple[PhotoCorrections, ...] = ()
    geometry_only: bool = False
    collect: CollectOptions = field(default_factory=CollectOptions)

    def __post_init__(self) -> None:
        if self.quality not in QUALITIES:
            raise LikenessError("usage", f"Unknown quality {self.quality!r}.", f"Use one of {', '.join(QUALITIES)}.")
        if self.hair not in HAIRS:
            raise LikenessError("usage", f"Unknown hair {self.hair!r}.", f"Use one of {', '.join(HAIRS)}.")
        if self.hair_style not in HAIR_STYLES:
            known = ", ".join(HAIR_STYLES)
            raise LikenessError("usage", f"Unknown hairstyle {self.hair_style!r}.", f"Use one of {known}.")
        if self.face_model not in FACE_MODELS:
            known = ", ".join(FACE_MODELS)
            raise LikenessError("usage", f"Unknown face model {self.face_model!r}.", f"Use one of {known}.")
        if self.personalise and self.face_model != "linear":
            raise LikenessError("usage", "Only the linear face model is personalised.", "Leave out one of the two.")
        for name in ("symmetry", "average"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise LikenessError(
                    "usage", f"The {name} {getattr(self, name)!r} is not from 0 to 1.", "Give a number from 0 to 1."
                )
        if self.texture_size not in TEXTURE_SIZES:
            sizes = ", ".join(str(size) for size in TEXTURE_SIZES)
            raise LikenessError("usage", f"Unknown texture size {self.texture_size}.", f"Use one of {sizes}.")

    @classmethod
    def from_settings(cls, settings: object, **more: Any) -> ReconstructOptions:
        """Options from the attributes that a command's arguments, a person of a manifest and a job have in common."""
        common = {name: getattr(settings, name) for name in ("quality", "face_model", *_SHAPE_AND_HAIR)}
        return cls(without=left_out(settings), **common, **more)

    def requested_models(self) -> frozenset[str]:
        """Names of models that are used only on request."""
        return frozenset({GRAPH_FACE.name, GRAPH_ALBEDO.name} if self.face_model == "graph" else ())

    def collect_options(self) -> CollectOptions:
        """Options for the photo stage."""
        surface = self.collect.surface and LANDMARK_NET.name not in self.without
        return replace(self.collect, surface=surface, device=computing_device(self.device))

    def to_report(self) -> dict[str, object]:
        """Options for ``report.json``, in JSON types only."""
        names = ("quality", "texture_size", "device", "personalise", "face_model", *_SHAPE_AND_HAIR)
        given = {name: getattr(self, name) for name in names}
        return given | {model.switch.name: model.name not in self.without for model in SWITCHED}


@dataclass(frozen=True)
class CachedFit:
    """State of a fit to resume from, and the options that must match: quality, models left out, face model."""

    begun: ResumableFit
    by: tuple[str, frozenset[str], str]


def fit_settings(options: ReconstructOptions) -> tuple[str, frozenset[str], str]:
    """``CachedFit.by`` for a reconstruction with these options."""
    return options.quality, options.without, options.face_model


@dataclass(frozen=True)
class Reconstruction:
    """A finished head, and the preview's inputs for each used photo."""

    asset: FaceAsset
    previews: tuple[PhotoPreview, ...]
    collection: PhotoCollection
    fitted: FittedFace


def reconstruct(
    sources: Sequence[PhotoSource],
    options: ReconstructOptions | None = None,
    progress: ProgressReporter = silent,
    preview: PreviewReceiver = no_preview,
    reader: PhotoReader = collect,
    keep: Callable[[CachedFit], None] = lambda kept: None,
    kept: Callable[[], CachedFit | None] = lambda: None,
) -> Reconstruction:
    """Reconstruct one person's head from photos.

    ``keep`` receives the state of the fit, and ``kept`` returns the state it received last. With ``geometry_only``, the
    same photos and the same models, the fit resumes from there. ``preview`` is called with the intermediate head
    whenever the fit has advanced. ``reader`` reads the photos as ``collect`` does.

    Raises
    ------
    LikenessError : with a sentence for the user (no photo, no face, unknown option).
    errors.Cancelled : ``progress`` raised it.
    """
    options = options or ReconstructOptions()
    clock = StageClock()
    loaded = in_thread(  # in parallel with reading the photos
        lambda: (
            load_template(),
            open_models(options.without, computing_device(options.device), options.requested_models()),
        )
    )
    with clock.stage("photos"):
        collection = collect_corrected(sources, options.corrections, options.collect_options(), progress, reader)
    if options.look:
        check_look(options.look, [face.name for face in collection.faces])
    template, models = loaded()
    personal = None
    if options.personalise and (basis := models.of(LEARNED_BASIS, BasisModel)) is not None:
        with clock.stage("personalise"):
            personal = personalise(collection.faces, basis, progress=progress)
            models = models.changed(LEARNED_BASIS, personal.model)

    def show(stage: str, neutral: np.ndarray, colors: np.ndarray | None = None) -> None:
        head = template.head
        vertices = neutral[head.vertex_start : head.vertex_stop].astype(np.float32)
        preview(HeadPreview(stage, vertices, template.quads[head.face_start : head.face_stop], colors))

    canonical = applied_to_photos(canonical_face, models.of(LAP, LapModel), progress)
    encoded, modes_around = face_model(models, template, progress)
    fit_options = with_shape_options(fit_options_for(options.quality), options.symmetry, options.average)
    by = fit_settings(options)
    before = kept() if options.geometry_only and not options.personalise else None
    with clock.stage("fit"):
        fitted = None
        if before is not None and before.by == by:
            fitted = refit_face(before.begun, collection.faces, fit_options, progress)
        if fitted is None:
            fitted = fit_face(
                collection,
                fit_options,
                progress,
                template,
                show,
                canonical,
                encoded,
                modes_around,
                lambda begun: keep(CachedFit(begun, by)),
            )
    used = fitted.used_faces(collection.faces)
    with clock.stage("rig"):
        progress("rig", 0.0)
        keys = personalise_keys(template, fitted.neutral)
        if not options.geometry_only:  # a geometry-only result follows at once
            show("rig", mouth_shapes(template, fitted.neutral, keys)[0], fitted.vertex_albedo)
        progress("rig", 1.0)
    photos = tuple(asset_photo(photo, face) for photo, face in zip(fitted.photos, used, strict=True))
    settings = options.to_report() | {"device": models.device}

    def report(**more: object) -> dict[str, object]:
        told = build_report(
            collection.verdicts,
            fitted.rejected,
            photos,
            clock.seconds,
            settings,
            models.to_report(),
            fitted.all_doubts(),
        )
        return told | {"corrections": msgspec.to_builtins(options.corrections)} | more

    if options.geometry_only:
        photos = with_shown_points(photos, fitted.photos, used, template, None, looked=False)
        asset = assemble(template, fitted.neutral, keys, None, photos, report(), with_shoulders=options.bust)
        return Reconstruction(asset, (), collection, fitted)
    with clock.stage("hair"):
        line, used = apply_hairline_points(template, fitted, used)
        leader = options.look if options.look in {photo.name for photo in fitted.photos} else ""  # else: left out
        hair = fit_hair(template, fitted, used, progress, options.hair_style, leader, line)
        style = None if hair.strands is None else hair.strands.parameters
        photos = with_shown_points(photos, fitted.photos, used, template, style)
    with clock.stage("texture"):
        coloured = fitted.for_texture(used)
        given = coloured.used_faces(used)
        seen = with_consistent_beards(template, coloured, given, "" if hair.look is None else hair.look.leader)
        other_beard = [face.name for face, own in zip(seen, given, strict=True) if face is not own]
        completion = models.of(GRAPH_ALBEDO, GraphAlbedoModel)
        texture = build_albedo(template, coloured, seen, options.texture_size, hair.strands, progress, completion)
    relief = NO_DETAIL
    if (wrinkles := models.of(DETAIL, DetailModel)) is not None:
        with clock.stage("detail"):
            size = min(options.texture_size, 2048)
            relief = find_detail(template, coloured, seen, keys, size, wrinkles, progress)
    told = report(hair=hair.to_report(), detail=relief.to_report(), other_beard=other_beard)
    if options.personalise:
        told["personalised"] = models.said(LEARNED_BASIS) if personal is None else personal.to_report()
    asset = assemble(
        template,
        fitted.neutral,
        keys,
        texture.albedo,
        photos,
        told,
        detail=relief.detail,
        eyes=texture.eyes,
        with_shoulders=options.bust,
    )
    face_region = template.regions["face"][template.head.vertex_start : template.head.vertex_stop]
    if options.hair != "none" and hair.strands is not None:
        strands = hair.strands.recoloured(tone_change(asset, fitted.vertex_albedo, face_region))
        if asset.bust is not None:
            head, bust = asset.parts[0], asset.bust
            points = over_shoulders(strands.points, head.vertices, bust.vertices, bust.quads)
            strands = replace(strands, points=points)
        cards = hair_cards(strands) if options.hair == "cards" else None
        asset = replace(asset, hair_strands=strands, hair_cards=cards)
    previews = photo_previews(asset, fitted, used, face_region)
    return Reconstruction(asset, previews, collection, fitted)
