"""Camera positions, and the crop around the head.

Convert rendered light to a photograph: lens, exposure, noise, tone curve, black and white, JPEG.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from backend.rendering.camera import PerspectiveCameras
from backend.rendering.color import LUMINANCE, srgb_from_linear
from trainer.people.look import Numbers, stack

CROP_PER_FACE = 2.4
CROP_SHIFT_UP = 0.04
CROP_SHIFT_BACK = 0.25
FACE_CROP = 1.1
"""Same as ``backend.photos.faces``'s crops of heads (``crop_head``) and faces (``face_square``); tests check
it."""
WIDE_CROP_FACTOR = 1.8
"""Crop side relative to the face's larger extent, with margin for rotating and moving a smaller window."""


@dataclass(frozen=True)
class ViewParameters:
    """One camera.

    Attributes
    ----------
    yaw, pitch, roll : radians; to the person's left, up, clockwise in the picture.
    distance : metres from the camera to between the eyes. aside : (2,) tangents of the head's angles off the optical
    axis,
        right and down.
    zoom : factor on the crop's side. shift : (2,) of the crop, in its sides.
    edges : (4,) extent of the photo beyond the head's crop to the left, top, right, bottom, in the crop's sides;
        negative where the photo ends inside it.
    """

    yaw: float
    pitch: float
    roll: float
    distance: float
    aside: np.ndarray
    zoom: float
    shift: np.ndarray
    edges: np.ndarray


def draw_view(generator: np.random.Generator) -> ViewParameters:
    """Draw a typical photograph's view: mostly frontal, at arm's length or across a room."""
    kind = generator.random()
    if kind < 0.55:
        yaw, pitch = generator.normal(0, 9), generator.normal(-1, 6)
    elif kind < 0.88:
        yaw, pitch = generator.normal(0, 26), generator.normal(-2, 9)
    else:
        yaw, pitch = generator.uniform(-80, 80), generator.normal(-2, 14)
    roll = generator.normal(0, 6) if generator.random() < 0.8 else generator.normal(0, 16)
    selfie = generator.random() < 0.3
    low, high = (0.3, 0.65) if selfie else (0.8, 4.0)
    distance = float(np.exp(generator.uniform(np.log(low), np.log(high))))
    yaw, pitch, roll = np.radians([np.clip(yaw, -88, 88), np.clip(pitch, -40, 40), np.clip(roll, -50, 50)])
    # extent of the photo: often larger than the crop, but portraits are often cut close around the head
    ends = (0.6, 0.6, 0.6, 0.35) if generator.random() < 0.35 else (0.04, 0.12, 0.04, 0.10)
    edges = np.where(generator.random(4) < ends, -generator.uniform(0.01, 0.2, 4), 1.0)
    return ViewParameters(
        yaw=float(yaw),
        pitch=float(pitch),
        roll=float(roll),
        distance=distance,
        aside=(generator.normal(0, 0.10, 2) * (1.0 if selfie else 0.6)).astype(np.float32),
        zoom=float(np.exp(generator.normal(0, 0.05))),
        shift=(generator.normal(0, 0.02, 2)).astype(np.float32),
        edges=edges.astype(np.float32),
    )


def turn(axis: int, angle: float) -> np.ndarray:
    """(3, 3) rotation about an axis, right-handed."""
    c, s = np.cos(angle), np.sin(angle)
    i, j = (axis + 1) % 3, (axis + 2) % 3
    matrix = np.eye(3)
    matrix[i, i] = matrix[j, j] = c
    matrix[i, j], matrix[j, i] = -s, s
    return matrix


def head_rotation(yaw: float, pitch: float) -> np.ndarray:
    """(3, 3) rotation of the head in its own frame: to the person's left, up."""
    return turn(1, yaw) @ turn(0, -pitch)


def camera_rotation(view: ViewParameters) -> np.ndarray:
    """(3, 3) from the head's axes to the camera's."""
    facing = np.diag([1.0, -1.0, -1.0])
    return turn(2, view.roll) @ facing @ head_rotation(view.yaw, view.pitch)


def extrinsics(views: list[ViewParameters], eyes: np.ndarray) -> np.ndarray:
    """(N, 4, 4) camera_from_head that place the midpoint between the eyes (N, 3) according to each view."""
    matrices = np.tile(np.eye(4), (len(views), 1, 1))
    for matrix, view, middle in zip(matrices, views, eyes, strict=True):
        matrix[:3, :3] = camera_rotation(view)
        offset = view.distance * np.array([view.aside[0], view.aside[1], 1.0])
        matrix[:3, 3] = offset - matrix[:3, :3] @ middle
    return matrices


def frame(views: list[ViewParameters], poses: Tensor, landmarks: Tensor, size: int, framing: str) -> PerspectiveCameras:
    """Cameras of pictures of ``size`` x ``size`` pixels, the crops around landmarks (N, 468, 3) in the head frame.

    poses : (N, 4, 4). framing : ``head`` (``photos.faces.crop.crop_head``), ``face`` (``face_square``) or ``roomy``.
    """
    n, device = len(views), landmarks.device
    unit = PerspectiveCameras(torch.eye(3, device=device).repeat(n, 1, 1), poses)
    points = unit.project(landmarks)[..., :2]  # (N, 468, 2) at focal length 1
    low, high = points.amin(1), points.amax(1)
    numbers = torch.tensor([[v.yaw, v.roll, v.zoom, *v.shift] for v in views], device=device, dtype=torch.float32)
    yaw, roll, zoom, shift = numbers[:, 0], numbers[:, 1], numbers[:, 2], numbers[:, 3:]
    middle, extent = (low + high) / 2, (high - low).amax(1)
    if framing == "head":
        up = torch.stack([torch.sin(roll), -torch.cos(roll)], -1)
        right = torch.stack([torch.cos(roll), torch.sin(roll)], -1)
        middle = middle + extent[:, None] * (CROP_SHIFT_UP * up - CROP_SHIFT_BACK * torch.sin(yaw)[:, None] * right)
        side = CROP_PER_FACE * extent
    elif framing == "roomy":
        side = WIDE_CROP_FACTOR * extent
    else:
        side = FACE_CROP * (high - low).mean(1)
    side = side * zoom
    corner = middle - side[:, None] * (0.5 + shift)
    focal = size / side
    intrinsics = torch.zeros(n, 3, 3, device=device)
    intrinsics[:, 0, 0] = intrinsics[:, 1, 1] = focal
    intrinsics[:, :2, 2] = -corner * focal[:, None]
    intrinsics[:, 2, 2] = 1
    return PerspectiveCameras(intrinsics, poses)


@dataclass(frozen=True)
class PhotoBorder:
    """Ends of a batch's photos: first and last columns and rows, all (N,) int64, in crops of ``size`` pixels."""

    size: int
    left: Tensor
    top: Tensor
    right: Tensor
    bottom: Tensor

    def inside(self) -> Tensor:
        """(N, S, S) bool mask of the photo."""
        steps = torch.arange(self.size, device=self.left.device)
        columns = (steps >= self.left[:, None]) & (steps <= self.right[:, None])
        rows = (steps >= self.top[:, None]) & (steps <= self.bottom[:, None])
        return rows[:, :, None] & columns[:, None]

    def repeat(self, images: Tensor) -> Tensor:
        """Repeat the photo's last row or column beyond its end, in pictures (N, C, S, S) or labels (N, S, S)."""
        steps = torch.arange(self.size, device=images.device)
        columns = torch.minimum(torch.maximum(steps, self.left[:, None]), self.right[:, None])  # (N, S)
        rows = torch.minimum(torch.maximum(steps, self.top[:, None]), self.bottom[:, None])
        flat = (rows[:, :, None] * self.size + columns[:, None]).flatten(1)  # (N, S * S)
        if images.dim() == 3:
            return images.flatten(1).gather(1, flat).view_as(images)
        return images.flatten(2).gather(2, flat[:, None].expand(-1, images.shape[1], -1)).view_as(images)


def photo_border(views: list[ViewParameters], size: int, framing: str, device: torch.device) -> PhotoBorder:
    """Find the photos' ends in crops of ``size`` pixels; ``framing`` as for ``frame``."""
    edges = np.stack([view.edges for view in views]).astype(np.float64) * size
    if framing != "head":  # those crops lie well inside the head's
        share = {"face": FACE_CROP, "roomy": WIDE_CROP_FACTOR}[framing] / CROP_PER_FACE
        edges = (edges + (1 - share) / 2 * size) / share
    into = np.clip(np.round(-edges), 0, size // 2 - 1).astype(np.int64)  # (N, 4) pixels that are missing
    left, top, right, bottom = torch.from_numpy(into).to(device).unbind(1)
    return PhotoBorder(size, left, top, size - 1 - right, size - 1 - bottom)


KERNEL = 9


@dataclass(frozen=True)
class FilmParameters:
    """Camera and processing of one picture.

    Attributes
    ----------
    target : mean brightness that exposure aims at (linear); automatic : strength of the correction, 0-1. white : (3,)
        factors.
    kernel : (KERNEL, KERNEL) blur of lens and movement, sums to 1. coarse : 1, or the relative size that the picture
        was reduced to and enlarged from. vignette : loss of light in the corners. flare : veiling light.
    noise : standard deviations of read and shot noise, and the share that is grain of 2 pixels (3,); noise_seed.
    contrast, gamma, saturation : of the tone curve. black, white_point : levels. grey : 1 for black and white; tint :
        (3,) colour of a black-and-white print.
    quality : of the JPEG file, 100: none. soft_chroma : 1 where it halves the colour's resolution.
    """

    target: Numbers
    automatic: Numbers
    white: Numbers
    kernel: Numbers
    coarse: Numbers
    vignette: Numbers
    flare: Numbers
    noise: Numbers
    noise_seed: Numbers
    contrast: Numbers
    gamma: Numbers
    saturation: Numbers
    black: Numbers
    white_point: Numbers
    grey: Numbers
    tint: Numbers
    quality: Numbers
    soft_chroma: Numbers


def draw_film(generator: np.random.Generator) -> FilmParameters:
    """Draw the camera, its settings, and the picture's later processing."""
    grey = generator.random() < 0.26
    old = grey and generator.random() < 0.6
    warm = generator.normal(0, 0.07)
    white = np.array([1 + warm, 1 + generator.normal(0, 0.015), 1 - warm])
    noisy = 10 ** generator.uniform(-3.2, -1.9) * (1.7 if old else 1.0)
    tint = np.ones(3)
    if grey and generator.random() < 0.4:
        tint = np.array([1.06, 1.0, 0.86]) ** generator.uniform(0, 1.5)
    return FilmParameters(
        target=0.22 * 2 ** generator.normal(0, 0.35),
        automatic=generator.uniform(0.0, 0.45),
        white=white,
        kernel=_kernel(generator, old),
        coarse=generator.uniform(0.4, 0.9) if generator.random() < 0.15 else 1.0,
        vignette=generator.uniform(0, 0.5) if generator.random() < 0.4 else 0.0,
        flare=generator.uniform(0, 0.03) if generator.random() < 0.2 else 0.0,
        noise=np.array([noisy * 0.4, noisy, generator.random()]),
        noise_seed=float(generator.integers(1 << 23)),
        contrast=np.clip(generator.normal(0.32, 0.25), -0.3, 0.85) + 0.15 * old,
        gamma=2 ** generator.normal(0, 0.15),
        saturation=np.clip(generator.normal(1.06, 0.2), 0.3, 1.7),
        black=generator.uniform(0, 0.07) if generator.random() < 0.2 else 0.0,
        white_point=generator.uniform(0.85, 1.0) if generator.random() < 0.25 else 1.0,
        grey=float(grey),
        tint=tint,
        quality=generator.uniform(25, 95) if generator.random() < 0.7 else 100.0,
        soft_chroma=float(generator.random() < 0.6),
    )


def _kernel(generator: np.random.Generator, old: bool) -> np.ndarray:
    """(KERNEL, KERNEL) Gaussian blur of lens and focus, sometimes with motion blur along a line."""
    axis = np.arange(KERNEL) - KERNEL // 2
    y, x = axis[:, None].astype(float), axis[None].astype(float)
    sigma = generator.uniform(0.25, 0.65) + (generator.uniform(0, 0.9) if generator.random() < 0.18 or old else 0)
    moved = generator.uniform(1.0, 5.0) if generator.random() < 0.10 else 0.0
    angle = generator.uniform(0, np.pi)
    total = np.zeros((KERNEL, KERNEL))
    for step in np.linspace(-0.5, 0.5, 7 if moved else 1) if moved else [0.0]:
        dx, dy = step * moved * np.cos(angle), step * moved * np.sin(angle)
        total += np.exp(-((x - dx) ** 2 + (y - dy) ** 2) / (2 * sigma**2))
    return total / total.sum()


def develop(linear: Tensor, parameters: Sequence[FilmParameters]) -> Tensor:
    """Develop linear light (N, 3, H, W) to sRGB pictures (N, 3, H, W) in [0, 1], rounded to 1/255.

    The same parameters give the same picture on any device to about 1/255.
    """
    p = stack(parameters, linear.device)
    n, _, height, width = linear.shape

    def each(values: Tensor) -> Tensor:
        return values.view(n, -1, 1, 1)

    luminance = linear.new_tensor(LUMINANCE).view(1, 3, 1, 1)
    mean = (linear.clamp(0, 1.5) * luminance).sum(1).mean((1, 2)).clamp(min=1e-3)
    gain = (p.target / mean) ** p.automatic
    light = _blurred(linear, p.kernel, p.coarse) * each(p.white * gain[:, None])
    axis_y, axis_x = (torch.linspace(-1, 1, k, device=linear.device) for k in (height, width))
    far = (axis_y[:, None] ** 2 + axis_x[None] ** 2) / 2
    light = light * (1 - each(p.vignette) * far) + each(p.flare)
    light = light + _grain(p, light)
    light = light.clamp(min=0)
    light = torch.where(light > 0.8, 0.8 + 0.2 * (1 - torch.exp(-(light - 0.8) / 0.2)), light)
    grey = (light * luminance).sum(1, keepdim=True)
    share = each(p.saturation * (1 - p.grey))
    light = (grey + (light - grey) * share) * torch.where(each(p.grey) > 0, each(p.tint), 1.0)
    encoded = srgb_from_linear(light).clamp(1e-4, 1) ** each(p.gamma)
    curve = encoded * encoded * (3 - 2 * encoded)
    encoded = encoded + each(p.contrast) * (curve - encoded)
    encoded = each(p.black) + encoded * each(p.white_point - p.black)
    encoded = _jpeg(encoded.clamp(0, 1), p)
    return (encoded.clamp(0, 1) * 255).round() / 255


def _blurred(linear: Tensor, kernel: Tensor, coarse: Tensor) -> Tensor:
    n, channels, height, width = linear.shape
    padded = functional.pad(linear, [KERNEL // 2] * 4, mode="replicate")  # one group per picture and channel
    weights = kernel.repeat_interleave(channels, 0)[:, None]
    out = functional.conv2d(padded.view(1, n * channels, *padded.shape[-2:]), weights, groups=n * channels)
    out = out.view(n, channels, height, width)
    for k, share in enumerate(coarse.tolist()):
        if share < 1:
            size = (max(8, round(height * share)), max(8, round(width * share)))
            small = functional.interpolate(out[k : k + 1], size=size, mode="area")
            large = functional.interpolate(small, size=(height, width), mode="bicubic", align_corners=False)
            out[k] = large[0].clamp(min=0)
    return out


def _grain(p: FilmParameters, light: Tensor) -> Tensor:
    n = len(light)
    white = torch.stack([torch.randn(light.shape[1:], generator=torch.Generator().manual_seed(int(seed)))
                         for seed in p.noise_seed.tolist()]).to(light.device)  # fmt: skip
    coarse = white + white.roll(1, -1)  # grain of two pixels, of the same strength
    coarse = (coarse + coarse.roll(1, -2)) * 0.5
    mixed = white + (coarse - white) * p.noise[:, 2].view(n, 1, 1, 1)
    mono = mixed[:, :1].expand_as(mixed)
    mixed = torch.where(p.grey.view(n, 1, 1, 1) > 0, mono, mixed)
    deviation = p.noise[:, 0].view(n, 1, 1, 1) + p.noise[:, 1].view(n, 1, 1, 1) * light.clamp(0, 1).sqrt()
    return mixed * deviation


def _jpeg(encoded: Tensor, p: FilmParameters) -> Tensor:
    out = encoded.clone()
    for row, quality in enumerate(p.quality.tolist()):
        if quality < 99:
            halved = "420" if p.soft_chroma[row] else "444"
            sampling = getattr(cv2, f"IMWRITE_JPEG_SAMPLING_FACTOR_{halved}")
            options = [cv2.IMWRITE_JPEG_QUALITY, round(quality), cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling]
            picture = (encoded[row].flip(0).permute(1, 2, 0) * 255).round().byte().cpu().numpy()
            coded = cv2.imdecode(cv2.imencode(".jpg", picture, options)[1], cv2.IMREAD_COLOR)[..., ::-1]
            out[row] = torch.from_numpy(coded.copy()).permute(2, 0, 1).to(out) / 255
    return out
