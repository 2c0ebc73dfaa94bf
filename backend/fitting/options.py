"""Stages of the fit and all their numbers. Defaults are those of ``standard`` quality."""

from dataclasses import dataclass, field, replace

from protocol.options import OPTIONS

AVERAGE_RANGE = 4.0
"""Factor on the prior's weight at the ends of the slider *average*. A larger one gives the average
face at one end; at the other, landmark errors are fitted as shape."""


@dataclass(frozen=True)
class PriorWeights:
    """Priors on identity, expression and camera.

    Attributes
    ----------
    identity_deviation : standard deviation of an identity coefficient, in the prior's own σ.
    common_expression_deviation : σ of the keys that are common in portraits (smile, jaw, squint, brows, gaze).
    rare_expression_deviation : σ of all other keys.
    expression_bias : pull towards 0 per unit of weight (sparsity), in units of the cost.
    distance_metres : median of the log-normal prior over the camera's distance when no focal length is known.
    distance_log_deviation : its σ in natural logarithms, within the photos of one set.
    distance_set_deviation : σ of the sets' own medians, in natural logarithms.
    focal_log_deviation : σ of the log focal length when EXIF gives one.
    principal_point_deviation : σ of the principal point's offset from the picture's centre, as a fraction of the
        focal length (crops), used when EXIF gives no focal length; a tenth of it otherwise.
    """

    identity_deviation: float = 1.0
    common_expression_deviation: float = 0.5
    rare_expression_deviation: float = 0.2
    expression_bias: float = 0.2
    distance_metres: float = 1.2
    distance_log_deviation: float = 0.4
    distance_set_deviation: float = 0.6
    focal_log_deviation: float = 0.02
    principal_point_deviation: float = 0.05


@dataclass(frozen=True)
class LandmarkStage:
    """Joint Gauss-Newton fit of identity, expressions and cameras to the 478 landmarks.

    Attributes
    ----------
    iterations : Gauss-Newton steps of each round.
    independent_fraction : share of the landmarks that count as independent measurements, because the residual errors
        of the detector model are still correlated.
    surface_fraction : the same for the landmark net's points.
    outline_fraction : the same for the places of the outline in the labels. ear_fraction : for those of the ears.
    expression_share : standard deviation of a person's own way to move the lips, as a share of the keys' motion.
    outlier_scale : Geman-McClure scale in standard deviations of a landmark.
    """

    iterations: int = 14
    independent_fraction: float = 0.5
    surface_fraction: float = 0.1
    outline_fraction: float = 0.5
    ear_fraction: float = 0.2
    expression_share: float = 0.5
    outlier_scale: float = 3.0


@dataclass(frozen=True)
class CanonicalStage:
    """Depth and normals of LAP's canonical surface, registered to the head, as terms on the identity.

    Attributes
    ----------
    shown_share : share of a person's difference from the mean head that the networks show. They are trained for small
        mean error, so they stay at the mean where they are unsure (regression to the mean).
    depth_information : number of independent measurements that all depths together are worth; 0: none.
    normal_information : the same for the normals.
    depth_deviation_mm : σ of a depth. normal_deviation_degrees : σ of a slope between neighbouring vertices.
    bump_deviation_mm : σ of smooth errors over the whole face, which are solved for.
    alignment_iterations : Gauss-Newton steps of the registration.
    rounds : number of registrations, each followed by a fit.
    iterations : Gauss-Newton steps of each fit.
    """

    shown_share: float = 0.5
    depth_information: float = 10.0
    normal_information: float = 50.0
    depth_deviation_mm: float = 2.0
    normal_deviation_degrees: float = 8.0
    bump_deviation_mm: float = 3.0
    alignment_iterations: int = 8
    rounds: int = 2
    iterations: int = 6


@dataclass(frozen=True)
class DenseStage:
    """Photometric alignment of the photos with each other through the mesh, coarse to fine.

    Each photo is compared with predictions, the other photos warped over the current mesh. The optical flow between
    them gives targets for the mesh's vertices.

    Attributes
    ----------
    face_widths : working resolution of each round: pixels between the outer ends of the face.
    deviation_percent : trusted accuracy of one flow vector, in per cent of the distance of the eyes' outer corners.
    independent_fraction : as in ``LandmarkStage``.
    step : fraction of the flow that one round applies (both photos of a pair move).
    iterations : Gauss-Newton steps per round.
    partners : a photo is compared with at most so many others, the nearest in viewing direction.
    matched : one flow per pair of photos instead of one per photo and partner, kept as matches. The cage uses the
        matches of the last round at the current estimate instead of new flow.
    """

    face_widths: tuple[int, ...] = (128, 192, 256)
    deviation_percent: float = 1.0
    independent_fraction: float = 0.4
    step: float = 0.6
    iterations: int = 3
    partners: int = 4
    matched: bool = False


@dataclass(frozen=True)
class EncodedStage:
    """Start of the fit from the learned face model's encoder, and the shorter stages that follow it.

    Attributes
    ----------
    deviation_mm : σ of the encoder's shapes at a vertex, including what the fit's modes and keys cannot express.
    expression_information : number of independent measurements that its expression is worth, for the fit's first
        weights.
    outlier_scales : robust scales of the landmark rounds, as factors; a cold start begins with a wide one.
    iterations : Gauss-Newton steps of each landmark round.
    canonical_rounds : rounds of the canonical stage.
    dense : the dense stage after such a start; None: the fit's own. Numbers from twelve ICT people, six photos each
        (docs/decisions/fitting.md).
    """

    deviation_mm: float = 2.0
    expression_information: float = 60.0
    outlier_scales: tuple[float, ...] = (1.0, 1.0)
    iterations: int = 7
    canonical_rounds: int = 1
    dense: DenseStage | None = DenseStage(
        face_widths=(192,), independent_fraction=0.2, step=1.0, iterations=7, matched=True
    )


@dataclass(frozen=True)
class CageStage:
    """Smooth vertex offsets outside the identity modes.

    Attributes
    ----------
    rounds : number of solves, each with new targets. face_width : their working resolution, as in ``DenseStage``.
    smoothness : weight of the bending energy against the targets.
    independent_fraction : as in ``DenseStage``, for the offsets.
    magnitude_deviation_mm : σ of an offset's length.
    """

    rounds: int = 1
    face_width: int = 256
    independent_fraction: float = 0.4
    smoothness: float = 30.0
    magnitude_deviation_mm: float = 1.0


@dataclass(frozen=True)
class FitOptions:
    """All options of the fit; a stage that is None is skipped. ``encoded`` starts the fit, the others run in order.

    ``symmetry``: share of the neutral shape's asymmetry that is removed at the end (``symmetric_state``). ``reach`` :
    metres from a corrected landmark up to which the skin moves beyond the modes.
    """

    prior: PriorWeights = field(default_factory=PriorWeights)
    landmarks: LandmarkStage = field(default_factory=LandmarkStage)
    canonical: CanonicalStage | None = field(default_factory=CanonicalStage)
    encoded: EncodedStage | None = field(default_factory=EncodedStage)
    dense: DenseStage | None = field(default_factory=DenseStage)
    cage: CageStage | None = field(default_factory=CageStage)
    symmetry: float = OPTIONS["symmetry"].default
    reach: float = OPTIONS["reach"].default


def started_options(options: FitOptions) -> FitOptions:
    """The options after a start from the encoder: stages shortened by ``options.encoded``."""
    stage = options.encoded
    if stage is None:
        return options
    canonical, dense = options.canonical, options.dense
    if canonical is not None:
        canonical = replace(canonical, rounds=min(canonical.rounds, stage.canonical_rounds))
    if dense is not None and stage.dense is not None:
        dense = stage.dense
    return replace(options, canonical=canonical, dense=dense)


def with_shape_options(
    options: FitOptions, symmetry: float, average: float, reach: float = OPTIONS["reach"].default
) -> FitOptions:
    """The options with the user's wishes for the shape: the first two from 0 to 1, ``reach`` in metres.

    ``average`` is nearness to the average face: at 1 the priors on identity and cage offsets weigh ``AVERAGE_RANGE``
    times as much as at 0.5, at 0 as many times less; at 0.5 nothing changes.
    """
    deviation = AVERAGE_RANGE ** (OPTIONS["average"].default - average)
    prior = replace(options.prior, identity_deviation=options.prior.identity_deviation * deviation)
    cage = options.cage
    if cage is not None:
        cage = replace(cage, magnitude_deviation_mm=cage.magnitude_deviation_mm * deviation)
    return replace(options, prior=prior, cage=cage, symmetry=symmetry, reach=reach)


def fit_options_for(quality: str) -> FitOptions:
    """Options of a quality level: ``fast``, ``standard`` or ``best``. Raises ``ValueError`` for another name."""
    if quality == "fast":
        return FitOptions(dense=None, cage=None)
    if quality == "standard":
        return FitOptions()
    if quality == "best":
        return FitOptions(
            encoded=EncodedStage(dense=None),  # accuracy matters here, not time
            dense=DenseStage(face_widths=(128, 192, 256, 384, 384)),
            cage=CageStage(rounds=2, face_width=384),
        )
    raise ValueError(f"unknown quality {quality!r}: use fast, standard or best")
