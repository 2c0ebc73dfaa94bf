"""Random changes to pictures and their label maps on the training device: place, light, other backdrops, and what
press photos show (dark rooms, a flash's shadow, other tones of hair, headbands, microphones).
"""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from backend.photos.collection import FaceClass
from trainer.losses import luminance

IGNORE = 255
"""Label of pixels that all losses and metrics ignore."""
_ASIDE = (0.45, 0.8)  # of the width: a second head appears beside the picture's head, not behind it
_NEAR = (0.8, 1.3)  # scale of a backdrop beside the head: other people
_FAR = (2.0, 4.0)  # scale of a backdrop so near that only its colours and edges are recognisable
_FEATHER = 3  # pixels of blending between the pictures
_MONOCHROME_SPREAD = 0.06
"""Standard deviation of the colour channels' ratios to the luminance, below which a picture counts as monochrome."""


def behind_heads(labels: Tensor) -> Tensor:
    """(N, H, W) bool: background above the chin. Below the chin are clothes, which have the background's label.

    labels : (N, H, W) uint8 of ``FaceClass``, 255 where unknown; unknown pixels are not selected.
    """
    face = (labels == FaceClass.SKIN) | (labels == FaceClass.LIPS)
    chin = face.any(2).flip(1).to(torch.uint8).argmax(1)  # rows from below, (N,); 0 without a face
    row = torch.arange(labels.shape[1], device=labels.device)
    above = row < (labels.shape[1] - chin)[:, None]  # (N, H)
    return (labels == FaceClass.BACKGROUND) & above[:, :, None] & face.any(2).any(1)[:, None, None]


def change_backdrops(pictures: Tensor, labels: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """Put the batch's next picture, moved aside or enlarged, behind the heads of a random ``share`` of the pictures.

    This makes labels true that miss a part of the hair, because the unlabelled part is no longer visible.

    Parameters
    ----------
    pictures : (N, 3, H, W) in [0, 1], sRGB. labels : as for ``behind_heads``.

    Returns
    -------
    pictures, and (N, H, W) bool, the changed pixels.
    """
    count, device = len(pictures), pictures.device
    chosen = torch.rand(count, device=device) < share
    if count < 2 or not bool(chosen.any()):
        return pictures, torch.zeros_like(labels, dtype=torch.bool)
    changed = behind_heads(labels) & chosen[:, None, None]
    other = _moved_aside(pictures.roll(1, 0))
    other = match_tone(other, pictures)
    soft = functional.avg_pool2d(changed[:, None].float(), _FEATHER, stride=1, padding=_FEATHER // 2)
    soft = soft * changed[:, None]  # pixels of other labels stay unchanged
    return torch.lerp(pictures, other, soft), changed


def monochrome(pictures: Tensor) -> Tensor:
    """(N,) bool: black and white, or a single tint as in old prints; pictures (N, 3, H, W) in [0, 1]."""
    ratios = (pictures + 0.05) / (luminance(pictures) + 0.05)
    return ratios.std((2, 3)).mean(1) < _MONOCHROME_SPREAD


def match_tone(pieces: Tensor, pictures: Tensor) -> Tensor:
    """Tone pieces (N, 3, H, W) for insertion into ``pictures`` (N, 3, H, W): monochrome pictures get pieces in their
    tint."""
    own_tint = pictures.mean((2, 3), keepdim=True) / luminance(pictures).mean((2, 3), keepdim=True).clamp_min(0.02)
    toned = (luminance(pieces) * own_tint).clamp(0, 1)
    return torch.where(monochrome(pictures).view(-1, 1, 1, 1), toned, pieces)


def _moved_aside(pictures: Tensor) -> Tensor:
    """Turn pictures into backdrops: half moved aside at about their size, half strongly enlarged; some mirrored."""
    count, device = len(pictures), pictures.device

    def between(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, device=device)

    near = torch.rand(count, device=device) < 0.5
    size = torch.where(near, between(*_NEAR), between(*_FAR))
    side = torch.where(torch.rand(count, device=device) < 0.5, -1.0, 1.0)
    aside = 2.0 * side * between(*_ASIDE) / size  # in half widths, as in sampling grids
    lift = between(-0.2, 0.2)
    mirror = torch.where(torch.rand(count, device=device) < 0.5, -1.0, 1.0)
    turn = between(-math.pi / 24, math.pi / 24)
    cosine, sine = torch.cos(turn) / size, torch.sin(turn) / size
    rows = torch.stack((cosine * mirror, -sine, aside, sine * mirror, cosine, lift), 1).view(count, 2, 3)
    return reflected(pictures, rows)


def reflected(pictures: Tensor, rows: Tensor) -> Tensor:
    """Sample pictures (N, C, H, W) with affine ``rows`` (N, 2, 3) in half widths; beyond their edges they are
    mirrored."""
    grid = functional.affine_grid(rows, list(pictures.shape), align_corners=False)
    return functional.grid_sample(pictures, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


_AS_DARK_AS_HAIR = 0.6
"""Share of the dimmed pictures whose backdrop becomes about as bright as the hair, which is the hardest case."""
_LEAST_HAIR = 40  # pixels of hair below which a picture counts as hairless


@dataclass(frozen=True, kw_only=True)
class PressConfig:
    """Probability of each augmentation; zero: never."""

    dim: float = 0.0
    """The backdrop becomes dark, or as bright as the hair; half the time also the clothes."""
    shadow: float = 0.0
    """The head casts a shadow on the backdrop, as from a flash beside the lens."""
    hair_tone: float = 0.0
    """Hair, and half the time facial hair, gets another brightness, from black to white, and another colour."""
    band: float = 0.0
    """A band around the forehead, narrow as a ribbon or high as a crown; hair above it stays hair."""
    microphone: float = 0.0
    """A microphone, or another dark thing on a thin rod, in front of chin, neck or hair."""


def change_scenes(pictures: Tensor, labels: Tensor, config: PressConfig) -> tuple[Tensor, Tensor, Tensor]:
    """Apply random augmentations to pictures and labels.

    Parameters
    ----------
    pictures : (N, 3, H, W) in [0, 1], sRGB. labels : (N, H, W) uint8 of ``FaceClass``, 255 where unknown.

    Returns
    -------
    pictures, labels, and (N, H, W) bool, the changed pixels.
    """
    before = pictures
    if config.hair_tone:
        pictures = tone_hair(pictures, labels, _chosen(pictures, config.hair_tone))
    if config.dim:
        pictures = dim_backdrops(pictures, labels, _chosen(pictures, config.dim))
    if config.shadow:
        pictures = cast_shadows(pictures, labels, _chosen(pictures, config.shadow))
    if config.band:
        pictures, labels = add_headbands(pictures, labels, _chosen(pictures, config.band))
    if config.microphone:
        pictures, labels = put_microphones(pictures, labels, _chosen(pictures, config.microphone))
    return pictures, labels, (pictures != before).any(1)


def dim_backdrops(pictures: Tensor, labels: Tensor, chosen: Tensor) -> Tensor:
    """Darken the backdrops, or make them about as bright as the hair, where ``chosen`` (N,) bool."""
    count = len(pictures)
    with_clothes = (_uniform(pictures, 0, 1) < 0.5)[:, None, None]
    around = _background(labels)
    where = torch.where(with_clothes, around, around & behind_heads(labels).any(2, keepdim=True))
    brightness = luminance(pictures)[:, 0]
    hair = labels == FaceClass.HAIR
    as_hair = _mean(brightness, hair) / _mean(brightness, where).clamp_min(0.02) * torch.exp(_normal(pictures, 0.33))
    dark = torch.exp(_uniform(pictures, -3.2, -0.5))
    use_hair = (_uniform(pictures, 0, 1) < _AS_DARK_AS_HAIR) & (hair.flatten(1).sum(1) > _LEAST_HAIR)
    gain = torch.where(use_hair, as_hair.clamp(0.02, 1.5), dark)
    strength = _feathered(_dilated(where)) * chosen.view(count, 1, 1, 1)
    return torch.lerp(pictures, (pictures * gain.view(count, 1, 1, 1)).clamp(0, 1), strength)


def cast_shadows(pictures: Tensor, labels: Tensor, chosen: Tensor) -> Tensor:
    """Add a shadow of the head to the backdrop, aside and below, where ``chosen`` (N,) bool."""
    count, side = len(pictures), pictures.shape[-1]
    head = (~_background(labels)).float()[:, None]
    aside = _uniform(pictures, 0.05, 0.24) * _sign(pictures)  # half widths
    down = _uniform(pictures, -0.02, 0.14)
    shape = reflected(head, _grid_rows(torch.ones_like(aside), -aside, -down))
    width = 2 * round(side * float(torch.rand(()) * 0.03 + 0.006)) + 1
    shape = _box_filtered(shape, width)
    depth = _uniform(pictures, 0.35, 0.9) * chosen
    strength = _feathered(_dilated(_background(labels))) * shape * depth.view(count, 1, 1, 1)
    return pictures * (1 - strength)


def tone_hair(pictures: Tensor, labels: Tensor, chosen: Tensor) -> Tensor:
    """Change the hair's brightness and colour where ``chosen`` (N,) bool and there is hair."""
    count = len(pictures)
    hair = labels == FaceClass.HAIR
    chosen = chosen & (hair.flatten(1).sum(1) > _LEAST_HAIR)
    facial = (_uniform(pictures, 0, 1) < 0.5)[:, None, None] & (labels == FaceClass.FACIAL_HAIR)
    brightness = luminance(pictures)[:, 0]
    mean = _mean(brightness, hair).clamp_min(0.02)
    target = _uniform(pictures, 0.04, 0.85)
    contrast = (target / mean).sqrt().clamp(0.5, 2.5)
    tone = target.view(-1, 1, 1) + contrast.view(-1, 1, 1) * (brightness - mean.view(-1, 1, 1))
    warm = _uniform(pictures, -0.05, 0.35)
    free = torch.stack((1 + 0.8 * warm, 1 - 0.1 * warm, 1 - warm), 1)  # from bluish grey to red and blond
    own = torch.stack([_mean(channel, hair) for channel in pictures.unbind(1)], 1) / mean[:, None]
    tint = torch.where(monochrome(pictures)[:, None], own, free)
    changed = (tone[:, None] * tint[:, :, None, None]).clamp(0, 1)
    strength = _feathered(hair | facial) * chosen.view(count, 1, 1, 1)
    return torch.lerp(pictures, changed, strength)


def add_headbands(pictures: Tensor, labels: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """Add bands around foreheads to pictures and labels, where ``chosen`` (N,) bool and there are brows, lips and hair.

    A band's texture is a piece of another picture, or one colour; its label is occluder.
    """
    up, across, known = _face_frame(labels)
    chosen = chosen & known & ((labels == FaceClass.HAIR).flatten(1).sum(1) > _LEAST_HAIR)
    low, bend = _uniform(pictures, 0.3, 0.95), _uniform(pictures, -0.25, 0.1)
    crown = _uniform(pictures, 0, 1) < 0.35
    high = low + torch.where(crown, _uniform(pictures, 0.35, 0.8), _uniform(pictures, 0.1, 0.35))
    height = up - bend.view(-1, 1, 1) * across.square()
    head = (labels == FaceClass.SKIN) | (labels == FaceClass.HAIR) | (labels == FaceClass.OCCLUDER)
    band = head & (height > low.view(-1, 1, 1)) & (height < high.view(-1, 1, 1)) & (across.abs() < 1.3)
    band = band & chosen[:, None, None]
    cloth = _textures(pictures)
    shade = 0.55 + 0.45 * (1 - (across / 1.1).square()).clamp(0, 1)  # a round head is darker at its sides
    strength = _feathered(band)
    return torch.lerp(pictures, cloth * shade[:, None], strength), torch.where(band, FaceClass.OCCLUDER, labels)


def put_microphones(pictures: Tensor, labels: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """Add a capsule on a rod in front of chin, neck or hair to pictures and labels, where ``chosen`` (N,) bool.

    In front of the person its label is occluder; beside the person the label stays background.
    """
    up, across, known = _face_frame(labels)
    middle_up, middle_across = _uniform(pictures, -2.4, -0.9), _normal(pictures, 0.7)
    turn = _normal(pictures, 0.6)
    cosine, sine = torch.cos(turn).view(-1, 1, 1), torch.sin(turn).view(-1, 1, 1)
    x, y = across - middle_across.view(-1, 1, 1), up - middle_up.view(-1, 1, 1)
    along, off_axis = cosine * y + sine * x, cosine * x - sine * y
    radius = _uniform(pictures, 0.08, 0.3).view(-1, 1, 1)
    length = radius * _uniform(pictures, 0.9, 1.9).view(-1, 1, 1)
    capsule = (off_axis / radius).square() + (along / length).square() < 1
    rod = (off_axis.abs() < radius * _uniform(pictures, 0.12, 0.5).view(-1, 1, 1)) & (along < 0)
    thing = (capsule | rod) & (chosen & known)[:, None, None]
    tone = torch.where(_uniform(pictures, 0, 1) < 0.75, _uniform(pictures, 0.0, 0.2), _uniform(pictures, 0.2, 0.8))
    round_shade = 0.6 + 0.8 * (1 - (off_axis / radius).square()).clamp(0, 1)
    grain = 1 + 0.15 * torch.randn_like(up)
    grey = (tone.view(-1, 1, 1) * round_shade * grain).clamp(0, 1)[:, None]
    strength = _feathered(thing)
    hides = thing & ~_background(labels)
    return torch.lerp(pictures, grey.expand_as(pictures), strength), torch.where(hides, FaceClass.OCCLUDER, labels)


def _face_frame(labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Coordinates of each pixel in the face's own frame, (N, H, W) each: up from the brows and across, in distances
    from the lips to the brows; and (N,) bool: whether brows and lips are visible."""
    count, height, width = labels.shape
    y, x = torch.meshgrid(
        torch.arange(height, device=labels.device, dtype=torch.float32),
        torch.arange(width, device=labels.device, dtype=torch.float32),
        indexing="ij",
    )
    brows, lips = labels == FaceClass.BROWS, labels == FaceClass.LIPS
    known = (brows.flatten(1).sum(1) > 8) & (lips.flatten(1).sum(1) > 8)
    middles = [
        torch.stack([_mean(x.expand(count, -1, -1), part), _mean(y.expand(count, -1, -1), part)], 1)
        for part in (brows, lips)
    ]
    axis = middles[0] - middles[1]
    size = axis.norm(dim=1).clamp_min(4.0)
    axis = axis / size[:, None]
    offset_x, offset_y = x - middles[0][:, 0].view(-1, 1, 1), y - middles[0][:, 1].view(-1, 1, 1)
    along, size = axis.view(count, 2, 1, 1), size.view(-1, 1, 1)
    up = (offset_x * along[:, 0] + offset_y * along[:, 1]) / size
    across = (offset_x * -along[:, 1] + offset_y * along[:, 0]) / size
    return up, across, known


def _textures(pictures: Tensor) -> Tensor:
    """(N, 3, H, W) pieces of other pictures of the batch, in their colours or in one random colour."""
    count = len(pictures)
    size = torch.exp(_uniform(pictures, -1.6, 0.7))
    pieces = reflected(
        pictures.roll(1, 0), _grid_rows(size, _uniform(pictures, -0.5, 0.5), _uniform(pictures, -0.5, 0.5))
    )
    tint = torch.rand(count, 3, 1, 1, device=pictures.device)
    plain = tint * (0.7 + 0.6 * luminance(pieces))
    pieces = torch.where((_uniform(pictures, 0, 1) < 0.5).view(-1, 1, 1, 1), plain, pieces).clamp(0, 1)
    return match_tone(pieces, pictures)


def _background(labels: Tensor) -> Tensor:
    """(N, H, W) bool: background, clothes and unknown pixels (the border of hair, outside the photo)."""
    return (labels == FaceClass.BACKGROUND) | (labels == IGNORE)


def _dilated(where: Tensor) -> Tensor:
    """(N, H, W) bool, dilated by one pixel, so that borders of hair get no halo of the old backdrop."""
    return functional.max_pool2d(where[:, None].float(), 3, stride=1, padding=1)[:, 0] > 0


def _grid_rows(size: Tensor, aside: Tensor, lift: Tensor) -> Tensor:
    """(N, 2, 3) rows of an affine grid that only scales and shifts, in half widths."""
    nothing = torch.zeros_like(size)
    return torch.stack((size, nothing, aside, nothing, size, lift), 1).view(-1, 2, 3)


def _feathered(where: Tensor) -> Tensor:
    """(N, 1, H, W) in [0, 1]: 1 inside ``where`` (N, H, W) bool, falling to 0 across its border."""
    return _box_filtered(where[:, None].float(), 3)


def _box_filtered(values: Tensor, width: int) -> Tensor:
    """(N, C, H, W) box filter: means of squares of ``width`` (odd) pixels, clipped at the picture's border."""
    half = width // 2  # rows, then columns: the same mean, and width / 2 times faster
    rows = functional.avg_pool2d(values, (width, 1), stride=1, padding=(half, 0), count_include_pad=False)
    return functional.avg_pool2d(rows, (1, width), stride=1, padding=(0, half), count_include_pad=False)


def _mean(values: Tensor, where: Tensor) -> Tensor:
    """(N,) mean of values (N, H, W) over ``where`` (N, H, W) bool; 0 where it is empty."""
    return (values * where).sum((1, 2)) / where.sum((1, 2)).clamp_min(1)


def _chosen(pictures: Tensor, share: float) -> Tensor:
    """(N,) bool: a random share of the pictures."""
    return _uniform(pictures, 0, 1) < share


def _uniform(pictures: Tensor, low: float, high: float) -> Tensor:
    """(N,) in [low, high)."""
    return low + (high - low) * torch.rand(len(pictures), device=pictures.device)


def _normal(pictures: Tensor, deviation: float) -> Tensor:
    """(N,) normal numbers around 0."""
    return deviation * torch.randn(len(pictures), device=pictures.device)


def _sign(pictures: Tensor) -> Tensor:
    """(N,) of -1 and 1."""
    return torch.where(_uniform(pictures, 0, 1) < 0.5, -1.0, 1.0)


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """Strength of the augmentation; zero everywhere switches it off."""

    flip: float = 0.5
    """Probability of a horizontal flip; only for labels without sides."""
    rotate_degrees: float = 15.0
    """Standard deviation of the rotation in the plane."""
    scale: float = 0.15
    """Standard deviation of the logarithm of the scale."""
    shift: float = 0.08
    """Standard deviation of the shift, in widths of the picture."""
    gain: float = 0.15
    """Standard deviation of the logarithm of each colour channel's factor."""
    gamma: float = 0.2
    """Standard deviation of the logarithm of the exponent."""
    grey: float = 0.05
    """Probability that a picture becomes grey."""
    noise: float = 0.03
    """Largest standard deviation of pixel noise."""
    blur: float = 0.3
    """Probability that a batch is reduced to a lower resolution (at least a third) and enlarged again."""
    backdrop: float = 0.0
    """Probability that another picture of the batch is put behind a head; see ``trainer.methods.parsing.scenes``."""
    press: PressConfig = field(default_factory=PressConfig)
    """Augmentations towards press photos, for official portraits."""


def move(images: Tensor, labels: Tensor, config: AugmentConfig) -> tuple[Tensor, Tensor]:
    """Transform pictures (N, 3, H, W) and labels (N, H, W) alike; beyond the border the edge is repeated.

    Raises ``ValueError`` when the shapes do not match.
    """
    if images.dim() != 4 or labels.shape != (images.shape[0], *images.shape[2:]):
        raise ValueError(f"images must be (N, 3, H, W) and labels (N, H, W): {images.shape} and {labels.shape}")
    grid = _random_grid(images, config)
    if grid is not None:
        images = functional.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
        classes = labels[:, None].float()
        moved = functional.grid_sample(classes, grid, mode="nearest", padding_mode="border", align_corners=False)
        labels = moved[:, 0].to(labels.dtype)
    return images, labels


def _random_grid(images: Tensor, config: AugmentConfig) -> Tensor | None:
    """(N, H, W, 2) sampling grid of random similarities; None when all are the identity."""
    if config.flip == config.rotate_degrees == config.scale == config.shift == 0:
        return None
    count, device = len(images), images.device
    angle = torch.randn(count, device=device) * math.radians(config.rotate_degrees)
    size = torch.exp(torch.randn(count, device=device) * config.scale)
    side = 1.0 - 2.0 * (torch.rand(count, device=device) < config.flip).float()
    shift = torch.randn(count, 2, device=device) * 2.0 * config.shift
    cosine, sine = torch.cos(angle) * size, torch.sin(angle) * size
    rows = torch.stack((cosine * side, -sine, shift[:, 0], sine * side, cosine, shift[:, 1]), 1)
    return functional.affine_grid(rows.view(count, 2, 3), list(images.shape), align_corners=False)


def change_light(images: Tensor, config: AugmentConfig) -> Tensor:
    """Vary white balance, exposure, contrast, colour, resolution and noise."""
    count, device = len(images), images.device

    def normal(*shape: int) -> Tensor:
        return torch.randn(count, *shape, device=device)

    gain = torch.exp(normal(3, 1, 1) * config.gain)
    gamma = torch.exp(normal(1, 1, 1) * config.gamma)
    images = (images.clamp(1e-4, 1.0) ** gamma * gain).clamp(0, 1)
    grey = (torch.rand(count, 1, 1, 1, device=device) < config.grey).float()
    images = torch.lerp(images, luminance(images).expand_as(images), grey)
    if torch.rand(()).item() < config.blur:
        side = images.shape[-1]
        lower = max(8, round(side * (1.0 - torch.rand(()).item() * 2.0 / 3.0)))
        small = functional.interpolate(images, (lower, lower), mode="area")
        images = functional.interpolate(small, images.shape[2:], mode="bilinear", align_corners=False)
    strength = torch.rand(count, 1, 1, 1, device=device) * config.noise
    return (images + torch.randn_like(images) * strength).clamp(0, 1)
