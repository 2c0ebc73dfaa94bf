"""Render posed people to linear light and label maps: shadow maps, shading of surfaces, and reduction by a factor of
at most two.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from backend.geometry.vectors import spread_directions, unit, vertex_normals
from backend.photos.collection import FaceClass
from backend.rendering.interpolate import Fragments, fragment_barycentrics, fragment_values, fragments
from backend.rendering.rasterize import face_ids
from backend.rendering.spherical_harmonics import shade
from trainer.people import skin as skins
from trainer.people.scene import HeadLight, Posed
from trainer.people.shape import EYE_LEFT, EYE_RIGHT, HEAD, TEETH_LOWER, TEETH_UPPER, TONGUE, PeopleSurface
from trainer.people.worn import WornMesh

WRAP = (0.19, 0.10, 0.06)
"""Wrap of the diffuse term past the terminator of skin for red, green and blue (subsurface scattering)."""
REFLECTANCE = 0.034
"""Specular reflectance of skin at normal incidence."""
_FIBRE_POWER, _WORN_ROUGHNESS = 5.0, 0.4


def fill_light(normals: Tensor, opened: Tensor, light: HeadLight) -> Tensor:
    """(N, V, 3) light of everything except the key lamp at unit normals (N, V, 3), scaled by the openness (N, V)."""
    even = shade(normals, light.ambient).clamp(min=0)
    wrap = normals.new_tensor(WRAP)
    for lamp in range(1, light.directions.shape[1]):
        cosine = (normals @ light.directions[:, lamp, :, None] + wrap) / (1 + wrap)
        even = even + cosine.clamp(min=0) * light.colours[:, lamp, None]
    return even * opened[..., None]


def shade_surface(
    paint: skins.Painted, normal: Tensor, sight: Tensor, even: Tensor, visible: Tensor, lamp: Tensor, colour: Tensor
) -> Tensor:
    """(P, 3) light towards the camera.

    normal, sight (P, 3) unit; even (P, 3) light of everything except the key lamp; visible (P,) visibility of the key
    lamp, lamp (P, 3) unit towards it, colour (P, 3). The highlight is normalised Blinn-Phong, with Schlick's Fresnel
    term for the environment.
    """
    cosine = (normal * lamp).sum(-1)
    wrap = normal.new_tensor(WRAP)
    diffuse = ((cosine[:, None] + wrap) / (1 + wrap)).clamp(min=0) * visible[:, None]
    facing = (normal * sight).sum(-1).clamp(0, 1)
    half = unit(lamp + sight)
    alpha = (paint.roughness * paint.roughness).clamp(min=0.01)
    power = 0.5 / (alpha * alpha) + 2
    lobe = ((power + 8) / 8) * (normal * half).sum(-1).clamp(min=1e-4, max=1) ** power
    lobe = lobe * cosine.clamp(min=0) * visible
    away = 1 - facing
    squared = away * away
    fresnel = REFLECTANCE + 0.22 * squared * squared * away
    glow = even * (fresnel * paint.gloss.clamp(max=2.0) * (1 - paint.roughness))[:, None]
    shine = (REFLECTANCE * paint.gloss * lobe).clamp(max=6)
    return paint.albedo * (even + diffuse * colour) + colour * shine[:, None] + glow


REACH = 0.17
"""Metres, half side of the square that a shadow map covers."""
BIAS = 0.0035
"""Metres by which a vertex may lie behind the shadow map and still be lit."""
_LAMP_DISTANCE = 2.0
_TAPS = ((0.2, 0.5), (1.1, -0.5), (-0.8, 1.1), (-1.2, -0.5), (0.3, -1.5), (1.4, 1.2))
"""Sample offsets in the shadow map, which are averaged."""


def lamp_axes(directions: Tensor) -> Tensor:
    """(N, 3, 3) rotations whose third row is the direction (N, 3) towards the lamp."""
    helper = torch.where(
        (directions[:, 1:2].abs() < 0.9), directions.new_tensor([0.0, 1.0, 0.0]), directions.new_tensor([1.0, 0.0, 0.0])
    )
    across = torch.nn.functional.normalize(torch.linalg.cross(helper, directions), dim=-1)
    return torch.stack([across, torch.linalg.cross(directions, across), directions], 1)


def lamp_visibility(vertices: Tensor, faces: Tensor, directions: Tensor, softness: Tensor, resolution: int) -> Tensor:
    """(N, V) visibility in [0, 1] of a distant lamp from vertices (N, V, 3), with triangles faces (F, 3) as occluders.

    directions : (N, 3) unit, towards the lamp. softness : (N,) 0 for the sun, 1 for a large window.
    """
    n, count, _ = vertices.shape
    centre = vertices.new_tensor([0.0, 0.70, 0.04])
    turned = (vertices - centre) @ lamp_axes(directions).transpose(1, 2)  # (N, V, 3)
    pixels = (turned[..., :2] / REACH + 1) * (resolution / 2)
    projected = torch.cat([pixels, _LAMP_DISTANCE - turned[..., 2:]], -1)
    raster = fragments(face_ids(projected, faces, (resolution, resolution)), faces)
    depth = raster.scatter(fragment_values(projected[..., 2:], raster, fragment_barycentrics(projected, raster)), 9.0)
    depth = depth.view(n, resolution * resolution)
    total = torch.zeros(n, count, device=vertices.device)
    spacing = (0.7 + 2.6 * softness)[:, None] * resolution / 128
    own = projected[..., 2]
    for dx, dy in _TAPS:
        column = (pixels[..., 0] + dx * spacing).floor().clamp(0, resolution - 1).long()
        row = (pixels[..., 1] + dy * spacing).floor().clamp(0, resolution - 1).long()
        blocker = depth.gather(1, row * resolution + column)
        allowed = BIAS + (0.0012 * (abs(dx) + abs(dy))) * spacing
        total += ((own - blocker - allowed) / 0.003).clamp(0, 1)
    return 1 - total / len(_TAPS)


def openness(vertices: Tensor, faces: Tensor, directions: int = 64, resolution: int = 112) -> Tensor:
    """(V,) share of a uniform sky's light that reaches vertices (V, 3) past faces (F, 3), weighted by the cosine."""
    sphere = torch.from_numpy(spread_directions(directions).astype(np.float32))
    sphere = sphere.to(vertices.device)
    normals = vertex_normals(vertices, faces)
    lit, total = torch.zeros(len(vertices), device=vertices.device), torch.zeros(len(vertices), device=vertices.device)
    for start in range(0, directions, 16):
        part = sphere[start : start + 16]
        soft = torch.full((len(part),), 0.2, device=part.device)
        visible = lamp_visibility(vertices.expand(len(part), -1, -1), faces, part, soft, resolution)
        cosine = (part @ normals.t()).clamp(min=0)
        lit += (visible * cosine).sum(0)
        total += cosine.sum(0)
    return lit / total.clamp(min=1e-6)


def fibre_highlight(tangent: Tensor, light: Tensor, view: Tensor) -> Tensor:
    """(P,) highlight of fibres: sin of the angle between tangent and half vector, sharpened (Kajiya & Kay 1989).

    Unit vectors (P, 3). Zero where ``tangent`` is zero.
    """
    along = (tangent * unit(light + view)).sum(-1)
    return (1 - along * along).clamp(min=0) ** _FIBRE_POWER * (tangent * tangent).sum(-1)


def _pairs(large: int, small: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """(S,) first and last index of the one or two samples that overlap each pixel most."""
    if not small <= large <= 2 * small:
        raise ValueError(f"{large} samples cannot be averaged to {small} pixels")
    steps = torch.arange(small, device=device)
    first = torch.div(steps * large, small, rounding_mode="floor")
    last = torch.div((steps + 1) * large - 1, small, rounding_mode="floor")
    return first, last


def smaller(images: Tensor, size: int) -> Tensor:
    """Average pictures (N, S', S', C) down to (N, size, size, C); S' is between size and twice that."""
    if images.shape[1] == size:
        return images
    first, last = _pairs(images.shape[1], size, images.device)
    rows = (images.index_select(1, first) + images.index_select(1, last)) * 0.5
    return (rows.index_select(2, first) + rows.index_select(2, last)) * 0.5


def smaller_labels(labels: Tensor, size: int) -> Tensor:
    """Reduce labels (N, S', S') uint8 to (N, size, size): the most frequent class of the four samples in each pixel.

    Of two equal pairs the one with the upper left sample wins; of four different classes, that sample's. One sample of
    glasses is enough for GLASSES, because a wire frame is thinner than a pixel but clearly visible in the picture.
    """
    if labels.shape[-1] == size:
        return labels
    first, last = _pairs(labels.shape[-1], size, labels.device)
    upper, lower = labels.index_select(1, first), labels.index_select(1, last)
    a, b = upper.index_select(2, first), upper.index_select(2, last)
    c, d = lower.index_select(2, first), lower.index_select(2, last)
    paired = (a == b) | (a == c) | (a == d)
    result = torch.where(paired, a, torch.where((b == c) | (b == d), b, torch.where(c == d, c, a)))
    glasses = int(FaceClass.GLASSES)
    at_glasses = (a == glasses) | (b == glasses) | (c == glasses) | (d == glasses)
    return result.masked_fill(at_glasses, glasses)


WORN_KIND = TONGUE + 1
"""Kind of the worn things' faces."""
_WORN_OPENNESS = 0.75


@dataclass(frozen=True)
class Picture:
    """Rendered pictures of a batch.

    Attributes
    ----------
    linear : (N, 3, S, S) linear light before exposure. labels : (N, S, S) uint8 of ``FaceClass``.
    albedo : (N, 3, S, S) linear, zero on the background; None unless asked for. skin_level : (N,) mean luminance of
        the visible skin.
    depth : (N, S', S') metres of everything opaque, inf on the background, at the rendered resolution.
    """

    linear: Tensor
    labels: Tensor
    albedo: Tensor | None
    skin_level: Tensor
    depth: Tensor


@dataclass(frozen=True)
class _Mesh:
    """Head and worn things as one mesh: points (N, X, 3), faces (F, 3), face_kind (F,), and per vertex normals (N, X,
    3)
    and light (N, X, 4): all light except the key lamp's, and the key lamp's visibility."""

    points: Tensor
    faces: Tensor
    face_kind: Tensor
    normals: Tensor
    light: Tensor


class Renderer:
    """Render people of one surface at one size."""

    def __init__(self, surface: PeopleSurface, size: int, supersampling: float) -> None:
        self.surface, self.size = surface, size
        self.inner = round(size * supersampling)
        resolution = 512 if self.inner >= 320 else 256
        self._maps, self._tiles = skins.maps_at(resolution, surface.device), skins.tiles_at(resolution, surface.device)
        self._shadow_size = 128 if size >= 96 else 80
        self._open = self._openness()
        self._static = torch.cat([surface.uv, surface.rest[surface.source]], 1)[None]  # (1, X, 5)
        eyes = [surface.rest[surface.kind == kind] for kind in (EYE_LEFT, EYE_RIGHT)]
        self._eye_rest = torch.stack([eye.mean(0) for eye in eyes])  # (2, 3)
        self._eye_radius = float((eyes[0] - self._eye_rest[0]).norm(dim=-1).mean())

    def _openness(self) -> Tensor:
        """(V,) ambient visibility of each vertex; for parts inside the head it depends on their depth."""
        surface = self.surface
        value = openness(surface.rest, surface.faces)
        kind, z = surface.kind, surface.rest[:, 2]
        inside = 0.75 * ((z - 0.085) / (0.146 - 0.085)).clamp(0.02, 1) ** 1.6
        value = torch.where((kind >= TEETH_UPPER) & (kind <= TONGUE), inside, value)
        mouth = torch.from_numpy(surface.template.regions["mouth_interior"]).to(value.device) > 0.5
        value = torch.where(mouth, torch.minimum(inside, torch.full_like(value, 0.5)), value)
        value = torch.where((kind == EYE_LEFT) | (kind == EYE_RIGHT), torch.full_like(value, 0.62), value)
        return value.clamp(0.02, 1) ** 1.5

    def draw(
        self,
        posed: Posed,
        light: HeadLight,
        skin: skins.Columns,
        parts: skins.Columns,
        worn: WornMesh,
        background: Tensor,
        albedo: bool = False,
    ) -> Picture:
        """Render everything in one pass; background (N, 3, S, S) linear."""
        mesh = self._mesh(posed, light, worn)
        camera = posed.cameras.centres()
        scale = self.inner / self.size
        pixels = posed.cameras.project(mesh.points) * mesh.points.new_tensor([scale, scale, 1.0])
        raster = fragments(face_ids(pixels, mesh.faces, (self.inner, self.inner)), mesh.faces)
        weights = fragment_barycentrics(pixels, raster)
        attributes = torch.cat([mesh.normals, camera[:, None] - mesh.points, mesh.light, pixels[..., 2:]], -1)
        values = fragment_values(attributes, raster, weights)  # (P, 11)
        normal, sight, even, visible = unit(values[:, :3]), unit(values[:, 3:6]), values[:, 6:9], values[:, 9]
        direction, colour = (part[:, 0].index_select(0, raster.image) for part in (light.directions, light.colours))
        paint, fibre = self._paint(raster, weights, mesh.face_kind, posed, skin, parts, worn, normal, sight, direction)
        color = shade_surface(paint, normal, sight, even, visible, direction, colour)
        color = color + colour * (fibre * visible)[:, None]
        covered = torch.ones_like(visible)[:, None]
        image = raster.scatter(torch.cat([color, covered, paint.albedo] if albedo else [color, covered], -1))
        labels = raster.scatter(paint.labels[:, None])[..., 0]
        behind = functional.interpolate(background, (self.inner, self.inner), mode="bilinear", align_corners=False)
        linear = image[..., :3] + behind.permute(0, 2, 3, 1) * (1 - image[..., 3:4])
        depth = raster.scatter(values[:, 10:], torch.inf)[..., 0]
        return Picture(
            linear=smaller(linear, self.size).permute(0, 3, 1, 2).contiguous(),
            labels=smaller_labels(labels, self.size),
            albedo=smaller(image[..., 4:], self.size).permute(0, 3, 1, 2) if albedo else None,
            depth=depth,
            skin_level=_skin_level(color, paint.labels, raster.image, len(posed.smoothed)),
        )

    def _mesh(self, posed: Posed, light: HeadLight, worn: WornMesh) -> _Mesh:
        surface = self.surface
        count = surface.vertex_count
        normals = vertex_normals(posed.smoothed, surface.faces)
        all_points = torch.cat([posed.smoothed, worn.vertices], 1)
        all_faces = torch.cat([surface.faces, worn.faces + count])
        lamp = light.directions[:, 0], light.softness[:, 0]
        key = lamp_visibility(all_points, all_faces, *lamp, self._shadow_size)
        eyeballs = (surface.kind == EYE_LEFT) | (surface.kind == EYE_RIGHT)
        mouth = surface.kind >= TEETH_UPPER
        lamp = key[:, :count]
        lamp = torch.where(eyeballs, lamp.clamp(min=0.35), lamp)
        lamp = torch.where(mouth, torch.maximum(lamp, 0.5 * self._open), lamp)
        on_head = torch.cat([fill_light(normals, self._open.expand(len(lamp), -1), light), lamp[..., None]], -1)
        opened = torch.full_like(worn.gloss, _WORN_OPENNESS)
        on_worn = torch.cat([fill_light(worn.normals, opened, light), key[:, count:, None]], -1)
        return _Mesh(
            points=torch.cat([posed.smoothed[:, surface.source], worn.vertices], 1),
            faces=torch.cat([surface.cut_faces, worn.faces + len(surface.source)]),
            face_kind=torch.cat([surface.face_kind, surface.face_kind.new_full((len(worn.faces),), WORN_KIND)]),
            normals=torch.cat([normals[:, surface.source], worn.normals], 1),
            light=torch.cat([on_head[:, surface.source], on_worn], 1),
        )

    def _paint(
        self,
        raster: Fragments,
        weights: Tensor,
        face_kind: Tensor,
        posed: Posed,
        skin: skins.Columns,
        parts: skins.Columns,
        worn: WornMesh,
        normal: Tensor,
        sight: Tensor,
        lamp: Tensor,
    ) -> tuple[skins.Painted, Tensor]:
        """Paint every covered pixel by its face's kind; also return (P,) the fibres' highlight for the key lamp
        in the directions ``lamp`` (P, 3)."""
        kind = face_kind.index_select(0, raster.face)
        count = len(kind)
        albedo = weights.new_zeros(count, 3)
        labels = torch.zeros(count, dtype=torch.uint8, device=weights.device)
        gloss, rough, fibre = weights.new_zeros(count), weights.new_full((count,), 0.5), weights.new_zeros(count)
        for wanted in (HEAD, EYE_LEFT, EYE_RIGHT, TEETH_UPPER, WORN_KIND):
            mask = (kind >= TEETH_UPPER) & (kind <= TONGUE) if wanted == TEETH_UPPER else kind == wanted
            chosen = mask.nonzero()[:, 0]
            if len(chosen) == 0:
                continue
            some, w = _subset(raster, chosen), weights[chosen]
            if wanted == WORN_KIND:
                paint, own_fibre = self._paint_worn(some, w, worn, sight[chosen], lamp[chosen])
                fibre.index_copy_(0, chosen, own_fibre)
            else:
                static = fragment_values(self._static, some, w)  # (p, 5)
                uv, rest = static[:, :2], static[:, 2:]
                if wanted == HEAD:
                    paint = self.paint_head(uv, skin, some.image)
                elif wanted == TEETH_UPPER:
                    own = kind[chosen]
                    paint = skins.paint_mouth(rest, own != TONGUE, own == TEETH_LOWER, parts, some.image)
                else:
                    paint = self._paint_eye(rest, wanted - EYE_LEFT, posed, parts, some.image, normal[chosen])
            albedo.index_copy_(0, chosen, paint.albedo)
            labels.index_copy_(0, chosen, paint.labels)
            gloss.index_copy_(0, chosen, paint.gloss)
            rough.index_copy_(0, chosen, paint.roughness)
        return skins.Painted(albedo, labels, gloss, rough), fibre

    def paint_head(self, uv: Tensor, skin: skins.Columns, image: Tensor) -> skins.Painted:
        """Paint the skin of the people of ``image`` (P,), rows of ``skin``, at positions (P, 2) of UV map ``Head``."""
        maps = skins.sample_maps(self._maps, uv)
        texel = skin["noise"][image]
        tiles = skins.sample_tiles(self._tiles, uv * 2.0 + texel[:, :2])
        # the tile's strands run along its first axis: brow hair lies along the brow, beard hair hangs down
        along, across = maps[4], maps[5]
        brow = torch.stack([across * 0.48 - 0.30 * along, along * 0.30 + 0.18 * across], -1)
        near = ((along > -0.2) & (along < 1.2) & (across.abs() < 1.2))[:, None]
        beard = torch.stack([uv[:, 0] * 3.0, uv[:, 1] * 2.0], -1)
        hair = skins.sample_tiles(self._tiles, torch.where(near, brow, beard) + texel[:, 2:4])
        return skins.paint_skin(maps, tiles, hair, skin, image)

    def _paint_eye(
        self, rest: Tensor, eye: int, posed: Posed, parts: skins.Columns, image: Tensor, out: Tensor
    ) -> skins.Painted:
        """Paint an eyeball with the lids' shadow and the dark gap between lid and ball; out (P, 3) are its normals."""
        offset = rest - self._eye_rest[eye]
        tiles = skins.sample_tiles(self._tiles, skins.iris_uv(offset))
        paint = skins.paint_eye(offset, self._eye_radius, tiles, parts, image)
        azimuth = torch.atan2(out[:, 0], out[:, 2])
        elevation = torch.atan2(out[:, 1], torch.hypot(out[:, 0], out[:, 2]))
        upper = skins.lid_height(azimuth, posed.lids[:, eye, 0], image) - elevation
        lower = elevation - skins.lid_height(azimuth, posed.lids[:, eye, 1], image)
        dark = 0.30 + 0.70 * skins.smoothstep(-0.02, 0.34, upper)
        dark = dark * (0.72 + 0.28 * skins.smoothstep(-0.02, 0.14, lower))
        return skins.Painted(paint.albedo * dark[:, None], paint.labels, paint.gloss * dark, paint.roughness)

    def _paint_worn(
        self, some: Fragments, weights: Tensor, worn: WornMesh, sight: Tensor, lamp: Tensor
    ) -> tuple[skins.Painted, Tensor]:
        pieces = Fragments(some.size, some.pixel, some.image, some.face, some.corners - len(self.surface.source))
        values = fragment_values(torch.cat([worn.albedo, worn.tangent, worn.gloss[..., None]], -1), pieces, weights)
        labels = worn.labels[some.face - len(self.surface.cut_faces)]
        albedo, tangent, gloss = values[:, :3], values[:, 3:6], values[:, 6]
        of_fibre = (tangent * tangent).sum(-1) > 0.25
        fibre = fibre_highlight(unit(tangent) * of_fibre[:, None], lamp, sight)
        # light transmitted through hair takes on its colour
        tint = 0.25 + 0.75 * (albedo.mean(-1) / 0.25).clamp(max=1)
        rough = torch.full_like(gloss, _WORN_ROUGHNESS)
        return skins.Painted(albedo, labels, torch.where(of_fibre, 0.0, 6 * gloss), rough), 0.16 * gloss * fibre * tint


def _subset(raster: Fragments, chosen: Tensor) -> Fragments:
    corners = raster.corners.t().index_select(1, chosen).t()
    return Fragments(raster.size, raster.pixel[chosen], raster.image[chosen], raster.face[chosen], corners)


def _skin_level(color: Tensor, labels: Tensor, image: Tensor, count: int) -> Tensor:
    """(N,) mean luminance of skin pixels; 0 where there are none."""
    mask = (labels == int(FaceClass.SKIN)).float()
    luminance = color @ color.new_tensor([0.2126, 0.7152, 0.0722])
    total = torch.zeros(count, device=color.device).index_add_(0, image, luminance * mask)
    return total / torch.zeros(count, device=color.device).index_add_(0, image, mask).clamp(min=1)
