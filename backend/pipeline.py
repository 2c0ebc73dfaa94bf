"""The reconstruction pipeline: photos in, ``FaceAsset`` out."""

import gc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import msgspec
import numpy as np

from backend.detail.find import NO_DETAIL, DetailEstimate, find_detail
from backend.errors import LikenessError, explain
from backend.exchange.all_or_none import PREVIEW, RESULT_NAMES, OutputFolder
from backend.exchange.assemble import assemble, asset_photo, with_pictures, worn_glasses
from backend.exchange.face_asset import FaceAsset
from backend.exchange.files import build_report, peak_rss_mb
from backend.exchange.folder import file_stages, write_last
from backend.exchange.preview import PhotoPreview, photo_previews, tone_change, with_head_points
from backend.fitting.fit import FaceModels, refit_face, resumable_fit
from backend.fitting.options import fit_options_for, with_shape_options
from backend.fitting.stages import FittedFace, ResumableFit
from backend.geometry.template import Template, load_template
from backend.hair.draw import hair_cards
from backend.hair.fit_hair import HairLook, HairResult, fit_hair, look_at
from backend.hair.hair_line import apply_hairline_points
from backend.hair.hair_strands import HairStrands, above
from backend.hair.look import check_look
from backend.models.checkpoints import computing_device
from backend.models.detail import DetailModel
from backend.models.graph_face import GraphAlbedoModel
from backend.models.learned_basis.apply import BasisModel, Personalised, personalise
from backend.models.parsing.glasses import FoundGlasses, find_glasses, glasses_view, seat_of
from backend.models.registry import DETAIL, GRAPH_ALBEDO, GRAPH_FACE, LAP, LEARNED_BASIS, MODELS, Models, open_models
from backend.options import options_of
from backend.photos.collect import CollectOptions, collect, collect_corrected
from backend.photos.collection import FaceClass, PhotoCollection, PhotoFace, PhotoSource, PhotoVerdict
from backend.photos.corrections import PhotoCorrections
from backend.photos.meshes import split_mesh_from_photos
from backend.progress import MainLine, ProgressReporter, StageClock, silent
from backend.rig.mouth import mouth_shapes
from backend.rig.personalise import personalise_keys
from backend.system.numba_cache import list_compiled
from backend.system.parallel import Stages, run_graph
from backend.texture.albedo import AlbedoResult, UnwrappedPhotos, build_albedo, unwrap_photos
from backend.texture.edits import TextureEdits, painted_by
from backend.texture.facial_hair import FacialHair, grow_facial_hair, joined, without_false_beards
from backend.texture.surface import head_surface
from backend.texture.unwrap import ChosenPhoto, beard_region, chosen_views, plain_skin, with_consistent_beards
from protocol.options import HeadOptions, named_regions
from protocol.photo_folder import is_mesh

MOST_RELIEF = 2048
"""Texels: largest side of the relief, whose own resolution is a quarter of that."""


@dataclass(frozen=True)
class ReconstructOptions(HeadOptions):
    """Options of a reconstruction: those of a head, and how it is made.

    Attributes
    ----------
    device : one of ``DEVICES``, for models that can use a GPU. All else runs on the CPU.
    corrections : landmark positions, use and masks of photos, set by the user, by photo name.
    geometry_only : compute only shape, keys and cameras: no albedo, hair and relief.
    collect : limits and settings of the photo stage.
    """

    device: str = "auto"
    corrections: tuple[PhotoCorrections, ...] = ()
    geometry_only: bool = False
    collect: CollectOptions = field(default_factory=CollectOptions)

    def __post_init__(self) -> None:
        problem, _, advice = self.problem().partition(": ")
        if problem:
            raise LikenessError("usage", problem.rstrip(".") + ".", advice[:1].upper() + advice[1:])

    @property
    def without(self) -> frozenset[str]:
        """Names of learned models that are switched off."""
        return frozenset(model.name for model in MODELS if model.switch and not getattr(self, model.switch))

    def requested_models(self) -> frozenset[str]:
        """Names of models that are used only on request."""
        return frozenset({GRAPH_FACE.name, GRAPH_ALBEDO.name} if self.face_model == "graph" else ())

    def collect_options(self) -> CollectOptions:
        """Options for the photo stage."""
        surface = self.collect.surface and self.landmark_net
        return replace(self.collect, surface=surface, device=computing_device(self.device))

    def to_report(self) -> dict[str, object]:
        """Options for ``report.json``, in JSON types only."""
        return options_of(self) | {"device": self.device}


@dataclass(frozen=True)
class CachedFit:
    """State of a fit to resume from, and the options that must match: quality, models left out, face model."""

    begun: ResumableFit
    by: tuple[str, frozenset[str], str]


class PhotoCache:
    """What a caller keeps between two reconstructions from the same photos; this one keeps nothing."""

    fit: CachedFit | None = None
    """The fit that was kept last."""

    def read(
        self, sources: Sequence[PhotoSource], *, progress: ProgressReporter, options: CollectOptions
    ) -> PhotoCollection:
        """Read the photos, as ``photos.collect.collect``."""
        return collect(sources, progress=progress, options=options)

    def keep_fit(self, fit: CachedFit) -> None:
        """Keep the state of a fit."""


@dataclass(frozen=True)
class HeadPreview:
    """The intermediate head during a reconstruction.

    Attributes
    ----------
    stage : the stage that produced it.
    vertices : (V, 3) float32 neutral vertices of the part ``head``, head frame, metres.
    quads : (F, 4) int32 vertex ids; a triangle repeats its last vertex.
    colors : (V, 3) float32 linear albedo per vertex, None before it is known.
    """

    stage: str
    vertices: np.ndarray
    quads: np.ndarray
    colors: np.ndarray | None = None


@dataclass(frozen=True)
class Watch:
    """What a caller watches and keeps. ``progress`` may raise ``errors.Cancelled``; ``preview`` receives the
    intermediate head whenever it has advanced, and should return quickly."""

    progress: ProgressReporter = silent
    preview: Callable[[HeadPreview], None] = lambda preview: None
    cache: PhotoCache = field(default_factory=PhotoCache)

    def show(self, template: Template, stage: str, neutral: np.ndarray, colors: np.ndarray | None = None) -> None:
        """Send neutral vertices (V, 3) as a preview."""
        head = template.head
        vertices = neutral[head.vertex_start : head.vertex_stop].astype(np.float32)
        self.preview(HeadPreview(stage, vertices, template.quads[head.face_start : head.face_stop], colors))


@dataclass(frozen=True)
class Hairline:
    """The hairline that the user has set: of ``apply_hairline_points``; and the used photos' faces, labelled by it."""

    line: np.ndarray | None
    faces: tuple[PhotoFace, ...]


@dataclass(frozen=True)
class SkinPhotos:
    """What texture and relief are made from: the fit without photos for the shape alone, and its photos' faces.

    ``other_beard`` : names of photos with another beard than the look's, whose lower faces are labelled so.
    """

    fitted: FittedFace
    faces: tuple[PhotoFace, ...]
    other_beard: list[str]


@dataclass(frozen=True)
class Reconstruction:
    """A finished head, the preview's inputs for each used photo, and the results of the caller's stages by name."""

    asset: FaceAsset
    previews: tuple[PhotoPreview, ...]
    collection: PhotoCollection
    fitted: FittedFace
    output: Mapping[str, Any] = field(default_factory=dict)


def reconstruct(
    sources: Sequence[PhotoSource],
    options: ReconstructOptions | None = None,
    watch: Watch | None = None,
    output: Stages | None = None,
) -> Reconstruction:
    """Reconstruct one person's head from photos.

    ``output`` are stages of the caller's that write or pack results of ``HEAD_STAGES``: they run as soon as those are
    there, and the report's ``seconds.files`` is what they add at the end. With ``geometry_only``, the same photos and
    the same models, the fit resumes from the one that ``watch.cache`` has kept.

    Raises
    ------
    LikenessError : with a sentence for the user (no photo, no face, unknown option).
    errors.Cancelled : ``watch.progress`` raised it.
    """
    options, watch, output = options or ReconstructOptions(), watch or Watch(), output or {}
    clock, line = StageClock(), MainLine(watch.progress)
    inputs: dict[str, Any] = {"sources": tuple(sources), "options": options, "clock": clock}
    inputs |= {"watch": replace(watch, progress=line), "aside": line.aside}
    if not options.personalise:
        inputs["personalise"] = None
    if not options.detail:
        inputs["detail"] = NO_DETAIL
    if options.geometry_only:
        inputs["previews"] = ()
    stages = (SHAPE_STAGES if options.geometry_only else HEAD_STAGES) | output
    gc.freeze()  # a full collection would walk over 300,000 objects of libraries: 0.2 s, several times a head
    try:
        made = run_graph(stages, inputs, ("asset", "previews", "photos", "fit", *output), clock)
    except Exception as error:
        if isinstance(error, LikenessError) or explain(error).code != "out_of_memory":
            raise
        size = f"{len(sources)} photos and a texture of {options.texture_size} texels a side"
        sentence = f"A head from {size} needs more memory than Likeness may use on this machine."
        raise LikenessError("out_of_memory", sentence, "Give fewer photos, or choose a smaller texture.") from error
    finally:
        gc.unfreeze()
        list_compiled()
    asset, previews, photos, fit = (made[name] for name in ("asset", "previews", "photos", "fit"))
    if output:
        asset = replace(asset, report=with_time_of_files(asset.report, clock))
    return Reconstruction(asset, previews, photos, fit, {name: made[name] for name in output})


def reconstruct_into(
    folder: OutputFolder,
    sources: Sequence[PhotoSource],
    options: ReconstructOptions | None = None,
    watch: Watch | None = None,
    check: Callable[[], None] = lambda: None,
) -> Reconstruction:
    """Reconstruct a head and write its ``RESULT_NAMES`` into ``folder``, all or none; ``draw_preview`` comes after.

    ``check`` is called once the head is made and may raise, which leaves the folder as it was. Raises as
    ``reconstruct``, and ``LikenessError`` with code "disk".
    """
    watch = watch or Watch()
    with folder.writing(RESULT_NAMES, watch.progress, [PREVIEW]) as files:
        made = reconstruct(sources, options, watch, file_stages(files, folder.path, watch.progress))
        check()
        write_last(made.asset.report, files, folder.path)
    return made


def with_time_of_files(report: Mapping[str, object], clock: StageClock) -> dict[str, object]:
    """The report with ``seconds.files``, and all seconds and memory as they are now."""
    before, total = float(report["seconds.total"]), clock.total
    times = {"seconds.files": round(total - before, 4), "seconds.total": round(total, 4)}
    return {**report, **times, "peak_rss_mb": peak_rss_mb()}


def read_photos(sources: tuple[PhotoSource, ...], options: ReconstructOptions, watch: Watch) -> PhotoCollection:
    """The faces of one person, with the user's corrections; a mesh's pictures go first, and give colour where the mesh
    has some, or the first of them where there is no photo."""
    scan, drawn, others = split_mesh_from_photos(sources, lambda: watch.progress("photos", 0.0))

    def read(wanted: Sequence[PhotoSource]) -> PhotoCollection:
        pictures = {one.name for one in drawn}
        stated = [one for one in options.corrections if (one.name in pictures) == (wanted is drawn)]
        chosen = options.collect_options()
        return collect_corrected(wanted, stated, chosen, watch.progress, watch.cache.read)

    photos = PhotoCollection(()) if scan is not None and not others else read(others)
    if scan is not None:
        pictures, mesh = read(drawn), PhotoVerdict(scan.name, True, "It gives the shape.")
        clay = () if scan.painted else [face.name for face in pictures.faces if face.use == "both"]
        shape = clay if photos.faces else clay[1:]  # clay from the sides paints holes of ears, and hair
        faces = tuple(replace(face, use="shape") if face.name in shape else face for face in pictures.faces)
        photos = PhotoCollection(faces + photos.faces, (mesh, *pictures.verdicts, *photos.verdicts), scan)
    if options.look:
        check_look(options.look, [face.name for face in photos.faces])
    return photos


def open_all_models(sources: tuple[PhotoSource, ...], options: ReconstructOptions) -> Models:
    """The learned models that take part: none that guess the shape where a mesh gives it."""
    idle = {LAP.name, LEARNED_BASIS.name} if any(is_mesh(one.name) for one in sources) else set()
    return open_models(idle.union(options.without), computing_device(options.device), options.requested_models())


def personalise_basis(photos: PhotoCollection, opened: Models, watch: Watch) -> Personalised | None:
    """The learned face model tuned to this person; None where it takes no part."""
    basis = opened.of(LEARNED_BASIS, BasisModel)
    return None if basis is None else personalise(photos.faces, basis, progress=watch.progress)


def models_of_person(opened: Models, personalise: Personalised | None) -> Models:
    """The models, the tuned one in its place."""
    return opened if personalise is None else opened.changed(LEARNED_BASIS, personalise.model)


def fit_head(
    photos: PhotoCollection, template: Template, models: Models, options: ReconstructOptions, watch: Watch
) -> FittedFace:
    """The fitted face; where only the shape is wanted, resumed from the cached fit of these photos."""
    fit_options = with_shape_options(fit_options_for(options.quality), options.symmetry, options.average, options.reach)
    by = (options.quality, options.without, options.face_model)
    before = watch.cache.fit if options.geometry_only and not options.personalise else None
    if before is not None and before.by == by:
        fitted = refit_face(before.begun, photos.faces, fit_options, watch.progress)
        if fitted is not None:
            return fitted
    face_models = FaceModels.of(models, template, watch.progress)
    begun = resumable_fit(photos, fit_options, template, face_models, watch.progress, partial(watch.show, template))
    watch.cache.keep_fit(CachedFit(begun, by))
    return begun.face


def personalise_rig(fit: FittedFace, template: Template, options: ReconstructOptions, watch: Watch) -> np.ndarray:
    """(52, V, 3) shape keys of this face."""
    watch.progress("rig", 0.0)
    keys = personalise_keys(template, fit.neutral)
    if not options.geometry_only:  # a geometry-only result follows at once
        watch.show(template, "rig", mouth_shapes(template, fit.neutral, keys)[0], fit.vertex_albedo)
    watch.progress("rig", 1.0)
    return keys


def shape_of_head(
    fit: FittedFace, photos: PhotoCollection, rig: np.ndarray, template: Template, options: ReconstructOptions
) -> FaceAsset:
    """The head without pictures, hair and report."""
    used = zip(fit.photos, fit.used_faces(photos.faces), strict=True)
    shown = tuple(asset_photo(photo, face) for photo, face in used)
    return assemble(template, fit.neutral, rig, shown, with_shoulders=options.bust)


def set_hairline(fit: FittedFace, photos: PhotoCollection) -> Hairline:
    """The hairline that the user has set, and the used photos' faces labelled by it."""
    return Hairline(*apply_hairline_points(fit, fit.used_faces(photos.faces)))


def look_at_hair(
    fit: FittedFace, hairline: Hairline, template: Template, options: ReconstructOptions
) -> HairLook | None:
    """Whose photo's hair and beard the head gets, none that is for the shape alone; None where none is wanted."""
    if options.hair_style == "shaved":
        return None
    seen = fit.for_texture(hairline.faces)
    leader = options.look if options.look in {photo.name for photo in seen.photos} else ""  # else: left out
    return look_at(template, seen, seen.used_faces(hairline.faces), leader, hairline.line)


def look_at_glasses(fit: FittedFace, hairline: Hairline, look: HairLook | None, template: Template) -> FoundGlasses:
    """The glasses that most photos of the look show."""
    pairs = zip(fit.photos, hairline.faces, strict=True)
    seen = [pair for pair in pairs if look is None or pair[0].name in look.look.photos]
    odds = [face.glasses for _, face in seen]
    views = {
        face.name: glasses_view(face.pixels, face.labels, photo.camera, photo.light)
        for photo, face in seen
        if (face.labels == FaceClass.GLASSES).any()
    }
    return find_glasses(odds, views, seat_of(template, fit.neutral), fit.neutral[: template.head.vertex_stop])


def grow_hair(
    fit: FittedFace,
    hairline: Hairline,
    look: HairLook | None,
    template: Template,
    options: ReconstructOptions,
    watch: Watch,
) -> HairResult:
    """The hair of the look."""
    parting = options.parting, options.parting_place
    return fit_hair(template, fit, hairline.faces, watch.progress, options.hair_style, look, parting)


def photos_of_skin(
    fit: FittedFace, hairline: Hairline, look: HairLook | None, glasses: FoundGlasses, template: Template
) -> SkinPhotos:
    """The photos for texture and relief, other beards than the look's labelled, and what shows beside frames."""
    coloured = fit.for_texture(hairline.faces)
    faces = without_false_beards(coloured, coloured.used_faces(hairline.faces))
    faces = tuple(glasses.beside(face, photo.camera) for face, photo in zip(faces, coloured.photos, strict=True))
    labelled = with_consistent_beards(template, coloured, faces, "" if look is None else look.look.leader)
    other = [one.name for one, before in zip(labelled, faces, strict=True) if one is not before]
    return SkinPhotos(coloured, labelled, other)


def choose_for_skin(skin: SkinPhotos, template: Template) -> list[ChosenPhoto]:
    """The photos that texture and relief use, and the head in each."""
    return chosen_views(head_surface(template), skin.fitted, skin.faces)


def unwrap_skin(
    skin: SkinPhotos,
    chosen: list[ChosenPhoto],
    template: Template,
    options: ReconstructOptions,
    aside: ProgressReporter,
) -> UnwrappedPhotos:
    """The photos on the surface."""
    aside("texture", 0.0)
    return unwrap_photos(template, skin.fitted, chosen, options.texture_size)


def edits_of(options: ReconstructOptions, template: Template, neutral: np.ndarray) -> TextureEdits:
    """What the options ask of the texture of a head with neutral vertices (V, 3). Raises as ``painted_by`` does."""
    surface = head_surface(template)
    regions = {one.name: one.paints for one in options.corrections if one.paints}
    brushes = {one.name: one.brush for one in options.corrections if one.brush}
    paints = painted_by(surface, neutral[: surface.count].astype(np.float64), regions, brushes)
    return TextureEdits(paints, named_regions(options.mirror), options.make_up, options.delighting)


def paint_texture(
    skin: SkinPhotos,
    unwrapped: UnwrappedPhotos,
    hair: HairResult,
    models: Models,
    template: Template,
    options: ReconstructOptions,
    watch: Watch,
) -> AlbedoResult:
    """Albedo and the eyes' picture."""
    completion = models.of(GRAPH_ALBEDO, GraphAlbedoModel)
    size, strands = options.texture_size, hair.strands
    edits = edits_of(options, template, skin.fitted.neutral)
    return build_albedo(template, skin.fitted, skin.faces, size, strands, watch.progress, completion, unwrapped, edits)


def find_relief(
    skin: SkinPhotos,
    chosen: list[ChosenPhoto],
    rig: np.ndarray,
    models: Models,
    template: Template,
    options: ReconstructOptions,
    aside: ProgressReporter,
) -> DetailEstimate:
    """The skin's relief, beside the hair and the texture."""
    network = models.of(DETAIL, DetailModel)
    if network is None:
        return NO_DETAIL
    size = min(options.texture_size, MOST_RELIEF)
    return find_detail(template, skin.fitted, chosen, rig, size, network, aside)


def report_of_photos(
    fit: FittedFace, photos: PhotoCollection, shape: FaceAsset, models: Models, options: ReconstructOptions
) -> dict[str, object]:
    """What ``report.json`` says of the photos, the models and the settings."""
    settings = options.to_report() | {"device": models.device}
    report = build_report(photos.verdicts, fit.rejected, shape.photos, settings, models.to_report(), fit.all_doubts())
    return report | {"corrections": msgspec.to_builtins(options.corrections)}


def finish_shape(
    fit: FittedFace,
    photos: PhotoCollection,
    shape: FaceAsset,
    template: Template,
    report: Mapping[str, object],
    clock: StageClock,
) -> FaceAsset:
    """The head of a job that wants the shape alone."""
    used = fit.used_faces(photos.faces)
    shown = with_head_points(shape.photos, fit.photos, used, template, None, examined=False)
    return replace(shape, photos=shown, report={**report, **clock.to_report(HEAD_STAGES)})


def grow_beard(
    skin: SkinPhotos,
    texture: AlbedoResult,
    hair: HairResult,
    look: HairLook | None,
    template: Template,
    options: ReconstructOptions,
) -> FacialHair:
    """Beard and moustache, of the hue of the head's hair."""
    if options.hair == "none" or not options.facial_hair:
        return FacialHair(None, "Not wanted.")
    kind = None if look is None else look.kind
    return grow_facial_hair(template, skin.fitted, skin.faces, texture.albedo, hair.strands, kind)


def dress_shape(
    shape: FaceAsset,
    fit: FittedFace,
    hairline: Hairline,
    hair: HairResult,
    texture: AlbedoResult,
    beard: FacialHair,
    detail: DetailEstimate,
    template: Template,
) -> FaceAsset:
    """The head with its pictures, without its hair."""
    style = None if hair.strands is None else hair.strands.parameters
    photos = with_head_points(shape.photos, fit.photos, hairline.faces, template, style)
    shape, albedo = replace(shape, photos=photos), beard.uncovered(texture.albedo)
    return with_pictures(shape, template, albedo, texture.eyes, detail.detail)


def tone_of_texture(fit: FittedFace, dressed: FaceAsset, template: Template) -> np.ndarray:
    """(3,) ratio of the texture's bare skin to the fit's, above all beards, whose colour is the texture's alone."""
    surface, count = head_surface(template), template.head.vertex_stop
    bare = np.minimum(plain_skin(surface)[:count], surface.regions["face"][:count])
    return tone_change(dressed, fit.vertex_albedo, bare * (1.0 - beard_region(surface, fit.neutral[:count])))


def exported_hair(
    dressed: FaceAsset, hair: HairResult, beard: FacialHair, tone: np.ndarray, options: ReconstructOptions
) -> HairStrands | None:
    """The hair in the texture's tone, and the beard, as far as the bust; None where there is none, or none is
    wanted."""
    if options.hair == "none":
        return None
    strands = joined(None if hair.strands is None else hair.strands.recoloured(tone), beard.strands)
    if strands is None or dressed.bust is None:
        return strands
    return replace(strands, points=above(strands.points, float(dressed.bust.vertices[:, 1].min())))


def report_of_head(
    report: Mapping[str, Any],
    hair: HairResult,
    look: HairLook | None,
    beard: FacialHair,
    detail: DetailEstimate,
    skin: SkinPhotos,
    glasses: FoundGlasses,
    personalise: Personalised | None,
    models: Models,
    options: ReconstructOptions,
) -> dict[str, object]:
    """The report with what hair and relief came to."""
    more: dict[str, object] = {"hair": hair.to_report(), "detail": detail.to_report(), "other_beard": skin.other_beard}
    more["hair_kind"] = {} if look is None or look.kind is None else look.kind.to_report()
    more["glasses"], more["photos"] = glasses.to_report(), glasses.noted(report["photos"])
    if options.facial_hair:
        more["facial_hair"] = beard.to_report()
    if options.personalise:
        more["personalised"] = models.said(LEARNED_BASIS) if personalise is None else personalise.to_report()
    return {**report, **more}


def finish_head(
    dressed: FaceAsset,
    strands: HairStrands | None,
    glasses: FoundGlasses,
    tone: np.ndarray,
    template: Template,
    whole_report: Mapping[str, object],
    options: ReconstructOptions,
    clock: StageClock,
) -> FaceAsset:
    """The head with its hair, its glasses and its report."""
    cards = hair_cards(strands) if strands is not None and options.hair == "cards" else None
    report = {**whole_report, **clock.to_report(HEAD_STAGES)}
    found = None if options.glasses == "off" else glasses.glasses
    worn = None if found is None else worn_glasses(found, template, dressed.parts[0].vertices, tone)
    return replace(dressed, hair_strands=strands, hair_cards=cards, glasses=worn, report=report)


def previews_of_photos(fit: FittedFace, hairline: Hairline, tone: np.ndarray) -> tuple[PhotoPreview, ...]:
    """The preview's inputs for each photo."""
    return photo_previews(fit, hairline.faces, tone)


SHAPE_STAGES: Stages = {
    "photos": read_photos,
    "template": load_template,
    "opened": open_all_models,
    "personalise": personalise_basis,
    "models": models_of_person,
    "fit": fit_head,
    "rig": personalise_rig,
    "shape": shape_of_head,
    "report": report_of_photos,
    "asset": finish_shape,
}
"""A job that wants the shape alone."""
HEAD_STAGES: Stages = SHAPE_STAGES | {
    "hairline": set_hairline,
    "look": look_at_hair,
    "glasses": look_at_glasses,
    "hair": grow_hair,
    "skin": photos_of_skin,
    "chosen": choose_for_skin,
    "detail": find_relief,  # before unwrapping: beside the texture its memory would add to the peak
    "unwrapped": unwrap_skin,
    "texture": paint_texture,
    "beard": grow_beard,
    "dressed": dress_shape,
    "tone": tone_of_texture,
    "strands": exported_hair,
    "whole_report": report_of_head,
    "asset": finish_head,
    "previews": previews_of_photos,
}
"""Result -> the function that makes it from the results that its parameters name; an earlier one goes first."""
