"""Targets from 478 landmarks: the landmark net's, which are fixed points of the surface, or the detector's, whose
outline landmarks slide over the face when the head turns."""

from dataclasses import dataclass, replace

import numpy as np

from backend.fitting import detector_model
from backend.fitting.options import LandmarkStage
from backend.fitting.parameters import PhotoParameters, SurfacePoints, points_at_landmarks, points_at_vertices
from backend.fitting.solver import PointTargets
from backend.geometry.template import OUTLINE_LANDMARKS, Template, ear_vertices, load_template, triangles_from_quads
from backend.geometry.vectors import vertex_normals
from backend.models.landmarks import net_points
from backend.photos.collection import CorrectedLandmarks, FaceClass, PhotoFace, SurfaceLandmarks
from backend.photos.faces import LOWER_LIP_EDGE, MESH_COUNT, UPPER_LIP_EDGE
from backend.rendering.camera import Camera
from backend.rendering.color import LUMINANCE, linear_from_srgb
from backend.rendering.interpolate import sample_image
from backend.rendering.rasterize import facing_cosine

HIDDEN_SHARE = 0.25
"""Weight of a landmark on the side that is turned away, where the detector only guesses."""

LEAST_SURFACE_PERCENT = 0.3
"""Lower bound of the landmark net's standard deviation, per cent of the face's scale."""

ALONG_OUTLINE_SHARE = 0.3
"""Weight of an outline landmark along the outline, relative to across it."""


_INLIER_FACTOR = 1000.0
"""Factor on the standard deviation of points of the ears, so large that none is an outlier of the robust loss."""
EAR_POINT_PERCENT = 2.0
"""Standard deviation of a point on an ear's edge that a person has placed, per cent of the face's scale, some 2 mm:
which point of the round edge is topmost depends on the view (0.4 mm rms at the top, 2.6 at the lobe)."""


@dataclass(frozen=True)
class LandmarkModel:
    """The template restricted to the points of landmark targets, computed once per fit.

    Attributes
    ----------
    landmarks : indices (L,) of the detector's fixed landmarks; points : their ``SurfacePoints``.
    net_points : all 478 points as the landmark net was trained on them; mean_positions : (478, 3) their positions on
        the committed mean face, whatever the template. ear_points : of ``template.ear_vertices``.
    barycentric_vertices : (L, 3) vertex ids of the landmarks' triangles, for visibility.
    lips : (478,) share of the lips' region at each point. triangles : (T, 3) of the head. detector : its errors.
    outline : (O,) landmark ids; outline_rows : (O, C) vertices of each one's row, -1 padded, inside to outside.
    row_points : ``SurfacePoints`` of all row vertices, and row_index : (O, C) into it.
    ears : (E,) vertices of both ears, ear_rim : their ``SurfacePoints``. head_without_ears : (S,) vertices.
    surface_errors : errors of the landmark net, None where it is not trained.
    """

    landmarks: np.ndarray
    points: SurfacePoints
    net_points: SurfacePoints
    ear_points: SurfacePoints
    mean_positions: np.ndarray
    barycentric_vertices: np.ndarray
    outline: np.ndarray
    outline_rows: np.ndarray
    row_points: SurfacePoints
    row_index: np.ndarray
    ears: np.ndarray
    ear_rim: SurfacePoints
    head_without_ears: np.ndarray
    lips: np.ndarray
    triangles: np.ndarray
    detector: detector_model.DetectorModel
    surface_errors: detector_model.DetectorModel | None

    @property
    def nuisance_size(self) -> int:
        """Number of correlated errors: those of the detector, then those of the landmark net."""
        return len(self.detector.modes) + (0 if self.surface_errors is None else len(self.surface_errors.modes))


def landmark_model(template: Template) -> LandmarkModel:
    """Restrict the template's bases to landmarks and outline rows."""
    embedding, taught = template.landmarks478, net_points()
    everywhere = points_at_landmarks(template, embedding)
    outline = np.array(OUTLINE_LANDMARKS)
    fixed = np.setdiff1d(np.flatnonzero(embedding.valid), outline)
    mean_landmarks = embedding.positions(template.vertices)
    rows = template.contour_rows
    row_positions = np.where(rows[..., None] >= 0, template.vertices[np.maximum(rows, 0)], np.inf)  # (R, C, 3)
    distance = np.linalg.norm(row_positions[None] - mean_landmarks[outline][:, None, None], axis=-1).min(-1)  # (O, R)
    outline_rows = rows[distance.argmin(1)]
    used = np.unique(outline_rows[outline_rows >= 0])
    row_index = np.where(outline_rows >= 0, np.searchsorted(used, np.maximum(outline_rows, 0)), -1)
    head = template.head
    ears = np.flatnonzero(template.regions["ears"] > 0.5)
    return LandmarkModel(
        landmarks=fixed,
        points=everywhere.take(fixed),
        net_points=points_at_landmarks(template, taught),
        ear_points=points_at_vertices(template, ear_vertices()),
        mean_positions=taught.positions(load_template().vertices).astype(np.float64),
        barycentric_vertices=embedding.vertices[fixed],
        outline=outline,
        outline_rows=outline_rows,
        row_points=points_at_vertices(template, used),
        row_index=row_index,
        ears=ears,
        ear_rim=points_at_vertices(template, ears),
        head_without_ears=np.flatnonzero(template.regions["ears"][: head.vertex_stop] < 0.05),
        lips=(template.regions["lips"][taught.vertices] * taught.barycentrics).sum(1).astype(np.float64),
        triangles=triangles_from_quads(template.quads[head.face_start : head.face_stop]),
        detector=detector_model.load_detector_model(),
        surface_errors=detector_model.load_surface_errors(),
    )


def _surface_targets(
    model: LandmarkModel,
    errors: detector_model.DetectorModel,
    found: SurfaceLandmarks,
    parameters: PhotoParameters,
    stage: LandmarkStage,
) -> PointTargets:
    """Targets from the landmark net's points; hidden points are weighted by the net's own deviation."""
    scale = detector_model.face_scale(found.positions)
    bias, modes, _ = detector_model.expected_errors(errors, parameters, scale)
    own, shown = model.net_points, errors.shown[:, None]
    deviation = np.maximum(errors.deviation * found.deviation, LEAST_SURFACE_PERCENT / 100.0 * scale)
    deviation = np.hypot(deviation, stage.expression_share * _lip_displacement(model, parameters))
    base = model.mean_positions + shown * (own.base - model.mean_positions)
    points = replace(own, base=base, identity=shown[..., None] * own.identity)
    return PointTargets(
        points,
        found.positions - bias,
        np.eye(2) / deviation[:, None, None],
        np.full(len(deviation), stage.surface_fraction),
        modes,
    )


def _lip_displacement(model: LandmarkModel, parameters: PhotoParameters) -> np.ndarray:
    """(478,) how far the photo's expression moves the points of the lips, in pixels; 0 elsewhere.

    Everybody opens, stretches and rolls the lips in a way of his own, which the template's keys do not have; what they
    miss must not become lips at rest.
    """
    moved = np.linalg.norm(model.net_points.expression @ parameters.expression, axis=-1)
    return np.exp(parameters.log_scale) * model.lips * moved


def _outline_choice(
    model: LandmarkModel, positions: np.ndarray, facing: np.ndarray, rest: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Choose per outline landmark the row vertex on the outline: the outermost one that faces the camera, but not
    beyond the landmark's place at rest. Returns (O,) indices into ``row_points`` and (O,) bool: not at rest."""
    chosen = np.empty(len(model.outline), dtype=np.int64)
    slid = np.zeros(len(model.outline), dtype=bool)
    for number, row in enumerate(model.row_index):
        row = row[row >= 0]
        distance = np.linalg.norm(positions[row] - rest[number], axis=-1)
        resting = int(distance.argmin())
        visible = facing[row[: resting + 1]] > 0.05
        hidden = np.flatnonzero(~visible)
        stop = int(hidden[0]) - 1 if len(hidden) else resting
        slid[number] = stop < resting
        chosen[number] = row[max(stop, 0)]
    return chosen, slid


_FACE = (FaceClass.SKIN, FaceClass.BROWS, FaceClass.EYES, FaceClass.LIPS, FaceClass.MOUTH_INTERIOR)
_BESIDE_FACE = (FaceClass.NECK, FaceClass.BACKGROUND)
OUTLINE_REACH_PERCENT = 12.0
"""Per cent of the face's scale, 8 to 20: how far from the projected outline the photo's is looked for."""
OUTLINE_ON_BACKGROUND, OUTLINE_ON_NECK = (0.25, 1.5), (0.75, 3.0)
"""Mean and robust standard deviation of the labels' outline, per cent of the face's scale outwards from the true
occluding contour, before the background and before the neck."""
EAR_OUTLINE = -0.25, 1.5
"""The same of the ears' labels, from the ears' rims (171 places of 18 synthetic people)."""
EAR_LEVELS = 10
"""Heights of an ear, 6 to 16, at which its rim is looked for."""
OUTLINE_STEPS = 49
"""Places looked at along that way, so that one is half a per cent from the next."""


def _contour(model: LandmarkModel, facing: np.ndarray) -> np.ndarray:
    """(O,) index into ``row_points`` of each row's vertex on the occluding contour, -1 where the row has none; facing
    (V,) cosine of the rows' vertices to the camera."""
    chosen = np.full(len(model.row_index), -1)
    for number, row in enumerate(model.row_index):
        row = row[row >= 0]
        hidden = np.flatnonzero(facing[row] <= 0.0)
        if len(hidden) and hidden[0] > 0:
            before, after = row[hidden[0] - 1], row[hidden[0]]
            chosen[number] = before if facing[before] < -facing[after] else after
    return chosen


@dataclass(frozen=True)
class LabelOutline:
    """An outline of the head where one photo's labels show it: of jaw and cheeks, or of the ears.

    Attributes
    ----------
    points : (N,) rows of ``LandmarkModel.row_points``, or of ``ear_rim``. pixels : (N, 2) their pixels.
    outward : (N, 2) unit normals of the outline in the picture.
    distance : (N,) pixels along ``outward`` from a place to the photo's outline.
    on_neck : (N,) bool, whether the outline lies before the neck.
    """

    points: np.ndarray
    pixels: np.ndarray
    outward: np.ndarray
    distance: np.ndarray
    on_neck: np.ndarray


def label_outline(
    template: Template, model: LandmarkModel, face: PhotoFace, vertices: np.ndarray, camera: Camera
) -> LabelOutline:
    """Look for the border between face and neck or background on both sides of the projected jaw and cheeks.

    Parameters
    ----------
    vertices : (V, 3) posed, head frame, metres. camera : of the photo in ``face.pixels``.
    """
    row_vertices = np.unique(model.outline_rows[model.outline_rows >= 0])
    chosen = _contour(model, _facing(template, model, vertices, camera)[row_vertices])
    chosen = chosen[chosen >= 0]
    places = camera.project(vertices[row_vertices[chosen]])[:, :2]
    middle = camera.project(template.landmarks478.positions(vertices)[:MESH_COUNT].mean(0)[None])[0, :2]
    return _label_border(face, chosen, places, middle, _FACE)


def label_ears(model: LandmarkModel, face: PhotoFace, vertices: np.ndarray, camera: Camera) -> list[LabelOutline]:
    """Look for the border between each ear and neck or background on both sides of the projected ear, at up to
    ``EAR_LEVELS`` heights where it stands out from the head; left ear, right ear. Parameters: ``label_outline``."""
    rim, head = (camera.project(vertices[part])[:, :2] for part in (model.ears, model.head_without_ears))
    right, down = detector_model.upright_axes(camera.camera_from_head[:3, :3]).T
    left = model.ear_rim.base[:, 0] > 0
    found = []
    for own in (np.flatnonzero(left), np.flatnonzero(~left)):
        out = np.sign((rim[own].mean(0) - head.mean(0)) @ right) * right
        heights = rim[own] @ down
        level = (EAR_LEVELS * (heights - heights.min()) / np.ptp(heights)).astype(int).clip(0, EAR_LEVELS - 1)
        behind = np.floor(EAR_LEVELS * (head @ down - heights.min()) / np.ptp(heights)).astype(int)
        rows = []
        for number in np.unique(level):
            row = own[level == number][(rim[own[level == number]] @ out).argmax()]
            if rim[row] @ out > (head[behind == number] @ out).max(initial=-np.inf):
                rows.append(row)
        middle = rim[own].mean(0) - out * np.ptp(heights)
        found.append(_label_border(face, np.array(rows, int), rim[rows], middle, (*_FACE, FaceClass.EARS)))
    return found


def _label_border(
    face: PhotoFace, points: np.ndarray, places: np.ndarray, middle: np.ndarray, inner: tuple[FaceClass, ...]
) -> LabelOutline:
    """The photo's border beside a line of places (N, 2), looked for along its normals, away from ``middle`` (2,).

    It is known where the labels along the normal are ``inner`` first, the last of them the last one, and neck or
    background then, and nothing else: hair, beards, glasses, hands and the photo's edge make it unknown."""
    if len(points) < 2:
        none = np.zeros((0, 2))
        return LabelOutline(np.zeros(0, int), none, none, np.zeros(0), np.zeros(0, bool))
    tangent = np.gradient(places, axis=0)
    outward = np.stack([tangent[:, 1], -tangent[:, 0]], axis=-1)
    outward /= np.maximum(np.linalg.norm(outward, axis=-1, keepdims=True), 1e-6)
    outward *= np.sign(((places - middle) * outward).sum())
    reach = OUTLINE_REACH_PERCENT / 100.0 * detector_model.face_scale(face.landmarks)
    steps = np.linspace(-reach, reach, OUTLINE_STEPS)
    looked = np.floor(places[:, None] + steps[:, None] * outward[:, None]).astype(int)  # (N, S, 2)
    height, width = face.labels.shape
    inside = ((looked >= 0) & (looked < [width, height])).all(-1)
    labels = face.labels[np.clip(looked[..., 1], 0, height - 1), np.clip(looked[..., 0], 0, width - 1)]
    labels = np.where(inside, labels, FaceClass.OCCLUDER)
    is_inner, is_beside = np.isin(labels, inner), np.isin(labels, _BESIDE_FACE)
    border = is_inner.sum(1)  # the first step that is not inside, if the labels are in order
    in_order = ((np.arange(OUTLINE_STEPS) < border[:, None]) == is_inner).all(1)
    known = (is_inner | is_beside).all(1) & in_order & (border > 0) & (border < OUTLINE_STEPS)
    outer = np.clip(border, 1, OUTLINE_STEPS - 1)
    every = np.arange(len(labels))
    if FaceClass.EARS in inner:
        known &= labels[every, outer - 1] == FaceClass.EARS
    distance = 0.5 * (steps[outer - 1] + steps[outer])
    on_neck = labels[every, outer] == FaceClass.NECK
    return LabelOutline(points[known], places[known], outward[known], distance[known], on_neck[known])


def _outline_targets(
    template: Template, model: LandmarkModel, face: PhotoFace, mesh: np.ndarray, camera: Camera, stage: LandmarkStage
) -> PointTargets:
    """Targets across the outlines of jaw, cheeks and ears in the photo's labels."""
    seen, count = label_outline(template, model, face, mesh, camera), model.nuisance_size
    errors = np.where(seen.on_neck[:, None], OUTLINE_ON_NECK, OUTLINE_ON_BACKGROUND)
    found = _across(model.row_points, seen, errors, face, stage.outline_fraction, count)
    for ear in label_ears(model, face, mesh, camera):
        errors = np.tile(EAR_OUTLINE, (len(ear.points), 1))
        found = PointTargets.joined(found, _across(model.ear_rim, ear, errors, face, stage.ear_fraction, count))
    return found


def _across(
    points: SurfacePoints, seen: LabelOutline, errors: np.ndarray, face: PhotoFace, fraction: float, nuisance: int
) -> PointTargets:
    """Targets across an outline with errors (N, 2), their mean and deviation in per cent of the face's scale."""
    bias, deviation = detector_model.face_scale(face.landmarks) / 100.0 * errors.T
    across = seen.outward / deviation[:, None]
    return PointTargets(
        points.take(seen.points),
        seen.pixels + (seen.distance - bias)[:, None] * seen.outward,
        np.stack([across, np.zeros_like(across)], axis=1),
        np.full(len(across), fraction),
        np.zeros((len(across), 2, nuisance)),
    )


_MIDDLE_PAIRS = slice(2, 7)
"""Pairs of the lips' inner edges between which front teeth show."""
LEAST_OPENING_PIXELS = 4.0
"""Pixels between the lips, 3 to 8, below which their colour has run into what is between them."""
TEETH_OVER_SKIN = 0.43
"""Luminance over the skin's beside the mouth, 0.3 to 0.6, from which a pixel between the lips is a tooth: agrees
best with a mixture of two Gaussians in luminance and hue, fitted to the mouths of 40 press photos without labels."""
OVERBITE = 0.0032
"""Metres by which the finished head's upper incisors cover the lower ones at rest."""
TEETH_SHARE_DEVIATION = 0.1
"""Standard deviation of the share of the opening in which no tooth shows: rms on 14 press photos whose rows touch."""
GAP_PERCENT, GAP_PIXELS = 0.5, 0.5
"""Standard deviation of a gap: per cent of the face's scale (on 130 rendered people, mostly with shut mouths, half of
the errors are below 0.3 to 0.6), and pixels."""


def mouth_cavity(face: PhotoFace) -> tuple[float, float] | None:
    """How many pixels of a photo's open mouth show no teeth, along the way from upper to lower lip, and the mean
    opening in pixels. None where lips are shut or masked, or the photo is too small."""
    edges = [face.landmarks[list(edge)[_MIDDLE_PAIRS], :2] for edge in (UPPER_LIP_EDGE, LOWER_LIP_EDGE)]
    opening = float(np.linalg.norm(edges[1] - edges[0], axis=-1).mean())
    masked = face.unseen is not None and face.unseen[[*LOWER_LIP_EDGE, *UPPER_LIP_EDGE]].any()
    if opening < LEAST_OPENING_PIXELS or masked:
        return None
    height, width = face.labels.shape
    middle, reach = np.concatenate(edges).mean(0), 0.5 * detector_model.face_scale(face.landmarks)
    left, top = np.clip(np.floor(middle - reach), 0, [width - 1, height - 1]).astype(int)
    right, bottom = np.clip(np.ceil(middle + reach), [left + 1, top + 1], [width, height]).astype(int)
    near = linear_from_srgb(face.pixels[top:bottom, left:right]) @ np.array(LUMINANCE, np.float32)
    skin = near[face.labels[top:bottom, left:right] == FaceClass.SKIN]
    if len(skin) == 0:
        return None
    steps = np.linspace(0.0, 1.0, 21)[1:-1, None, None]
    between = edges[0] + steps * (edges[1] - edges[0]) - [left, top]
    shown = sample_image(near[..., None], between.reshape(-1, 2), outside=0.0)
    return float(np.mean(shown < TEETH_OVER_SKIN * np.median(skin))) * opening, opening


def _teeth_targets(
    template: Template, model: LandmarkModel, face: PhotoFace, parameters: PhotoParameters
) -> PointTargets | None:
    """Target of the jaw: rows of teeth are no further apart than the photo shows no teeth between the lips. None where
    they are not; lips that hide the teeth tell nothing.

    The point is the lower incisors' motion, put at the pivot, so that nothing but the jaw's keys moves it in the head.
    """
    seen = mouth_cavity(face)
    if seen is None:
        return None
    teeth = template.parts["teeth_lower"]
    front = teeth.vertex_start + int(template.vertices[teeth.vertex_start : teeth.vertex_stop, 2].argmax())
    point = points_at_vertices(template, np.array([front]))
    closed = parameters.pivot + np.array([0.0, OVERBITE, 0.0])
    point = replace(point, base=closed[None], identity=np.zeros_like(point.identity))
    camera, down = parameters.camera(), detector_model.upright_axes(parameters.rotation)[:, 1]
    upper = camera.project(parameters.pivot[None])[0, :2]
    lower = camera.project(point.positions(np.zeros(point.identity.shape[2]), parameters.expression))[0, :2]
    apart, opening = seen
    if (lower - upper) @ down <= apart:
        return None
    deviation = np.sqrt(
        (TEETH_SHARE_DEVIATION * opening) ** 2
        + (GAP_PERCENT / 100.0 * detector_model.face_scale(face.landmarks)) ** 2
        + GAP_PIXELS**2
    )
    return PointTargets(
        point,
        (upper + apart * down)[None],
        np.stack([down, np.zeros(2)])[None] / (_INLIER_FACTOR * deviation),
        np.full(1, _INLIER_FACTOR**2),
        np.zeros((1, 2, model.nuisance_size)),
    )


def _posed(template: Template, parameters: PhotoParameters, identity: np.ndarray) -> np.ndarray:
    """(V, 3) vertices with this identity (K,) and the photo's expression."""
    changed = template.vertices + np.tensordot(identity, template.identity_modes, 1)
    return changed + np.tensordot(parameters.expression, template.expressions, 1)


def _facing(template: Template, model: LandmarkModel, mesh: np.ndarray, camera: Camera) -> np.ndarray:
    """(V_head,) cosine of the angle between the head's normals and the camera; mesh (V, 3) posed."""
    head = template.head
    vertices = mesh[head.vertex_start : head.vertex_stop]
    return facing_cosine(vertices, vertex_normals(vertices, model.triangles), camera)


def landmark_targets(
    template: Template,
    model: LandmarkModel,
    face: PhotoFace,
    parameters: PhotoParameters,
    identity: np.ndarray,
    stage: LandmarkStage,
    beside: float = 0.0,
) -> PointTargets:
    """Targets of one photo at the current estimate: the detector's landmarks, the landmark net's where there are any,
    and those that a person has corrected. Visibility and outline depend on the pose. Each kind has its own errors.
    Corrected landmarks have the place that they were given; masked landmarks have no weight.

    ``beside`` : factor on the detector's landmarks beside the net's."""
    kinds, mesh = [], _posed(template, parameters, identity)
    by_net = face.surface is not None and model.surface_errors is not None
    if beside > 0.0 or not by_net:
        detected = _detector_targets(template, model, face, parameters, identity, mesh, stage)
        detected = replace(detected, information=(beside if by_net else 1.0) * detected.information)
        order = np.concatenate([model.landmarks, model.outline])
        kinds.append((detected.with_nuisance(0, model.nuisance_size), order))
    if by_net:
        surface = _surface_targets(model, model.surface_errors, face.surface, parameters, stage)
        surface = surface.with_nuisance(len(model.detector.modes), model.nuisance_size)
        kinds.append((surface, np.arange(len(surface.pixels))))
    found = None
    for one, order in kinds:
        if face.unseen is not None:
            one = replace(one, information=one.information * ~face.unseen[order])
        if face.corrected is not None:
            one = _with_corrections(one, order, face.corrected)
        found = one if found is None else PointTargets.joined(found, one)
    if face.corrected is not None:
        found = PointTargets.joined(found, _ear_targets(model, face))
    if stage.outline_fraction > 0.0:
        found = PointTargets.joined(found, _outline_targets(template, model, face, mesh, parameters.camera(), stage))
    teeth = _teeth_targets(template, model, face, parameters)
    return found if teeth is None else PointTargets.joined(found, teeth)


def _with_corrections(targets: PointTargets, order: np.ndarray, corrected: CorrectedLandmarks) -> PointTargets:
    """Targets of the landmarks ``order`` (M,) with those that a person has corrected at their places, without the
    errors that they share with others: the net was wrong there, and nothing else is known to be. ``stages`` meets them
    exactly where the modes cannot."""
    rows = np.argsort(order)[np.searchsorted(np.sort(order), corrected.landmarks)]
    there = order[rows] == corrected.landmarks
    rows = rows[there]
    pixels, nuisance = targets.pixels.copy(), targets.nuisance.copy()
    pixels[rows], nuisance[rows] = corrected.positions[there], 0.0
    return replace(targets, pixels=pixels, nuisance=nuisance)


def _ear_targets(model: LandmarkModel, face: PhotoFace) -> PointTargets:
    """Targets of points of the ears that a person has placed: no bias, never outliers."""
    corrected = face.corrected
    count, deviation = len(corrected.ears), EAR_POINT_PERCENT / 100.0 * detector_model.face_scale(face.landmarks)
    return PointTargets(
        model.ear_points.take(corrected.ears),
        corrected.ear_positions,
        # A wide deviation with as much more information: least squares without the robust loss.
        np.tile(np.eye(2) / (_INLIER_FACTOR * deviation), (count, 1, 1)),
        np.full(count, _INLIER_FACTOR**2),
        np.zeros((count, 2, model.nuisance_size)),
    )


def _detector_targets(
    template: Template,
    model: LandmarkModel,
    face: PhotoFace,
    parameters: PhotoParameters,
    identity: np.ndarray,
    mesh: np.ndarray,
    stage: LandmarkStage,
) -> PointTargets:
    scale = detector_model.face_scale(face.landmarks)
    embedding, head = template.landmarks478, template.head
    facing = _facing(template, model, mesh, parameters.camera())

    # Fixed landmarks: isotropic, less trusted where the surface turns away.
    on_head = model.barycentric_vertices.max(-1) < head.vertex_stop
    cosine = facing[np.where(on_head[:, None], model.barycentric_vertices, 0)].mean(-1)
    cosine = np.where(on_head, cosine, 1.0)
    trust = HIDDEN_SHARE + (1.0 - HIDDEN_SHARE) * np.clip((cosine + 0.1) / 0.4, 0.0, 1.0)
    bias, modes, deviation = detector_model.expected_errors(model.detector, parameters, scale)
    deviation = np.hypot(deviation, stage.expression_share * _lip_displacement(model, parameters))
    corrected = face.landmarks[:, :2].astype(np.float64) - bias
    fixed = PointTargets(
        model.points,
        corrected[model.landmarks],
        np.eye(2) / deviation[model.landmarks, None, None],
        stage.independent_fraction * trust,
        modes[model.landmarks],
    )

    # Outline: across the outline fully, along it only a little.
    row_positions = model.row_points.positions(identity, parameters.expression)
    rest = embedding.positions(mesh)[model.outline]
    row_vertices = np.unique(model.outline_rows[model.outline_rows >= 0])
    chosen, slid = _outline_choice(model, row_positions, facing[row_vertices], rest)
    observed = corrected[model.outline]
    tangent = np.gradient(observed, axis=0)
    tangent /= np.maximum(np.linalg.norm(tangent, axis=-1, keepdims=True), 1e-6)
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], axis=-1)
    outline_deviation = deviation[model.outline] * np.where(slid, 1.5, 1.0)
    outline = PointTargets(
        model.row_points.take(chosen),
        observed,
        np.stack([normal, ALONG_OUTLINE_SHARE * tangent], axis=1) / outline_deviation[:, None, None],
        np.full(len(chosen), stage.independent_fraction),
        modes[model.outline],
    )
    return PointTargets.joined(fixed, outline)
