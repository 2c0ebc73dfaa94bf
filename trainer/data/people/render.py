"""From posed people to pictures in linear light and label maps."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from backend.geometry.normals import vertex_normals
from backend.photos.collection import FaceClass
from backend.rendering.interpolate import Fragments, fragment_barycentrics, fragment_values, fragments
from backend.rendering.rasterize import face_ids
from backend.rendering.spherical_harmonics import shade
from trainer.data.people.attachments.layers import VEIL_LABEL_ALPHA, AttachmentMesh, fibre_highlight, surface_tone
from trainer.data.people.eyes import iris_place, lid_height, paint_bust, paint_eye, paint_mouth
from trainer.data.people.maps import maps_at, sample_maps, sample_tiles, tiles_at
from trainer.data.people.scene import HeadLight, Posed
from trainer.data.people.shadow import lamp_visibility, openness
from trainer.data.people.skin import Columns, Painted, paint_skin, smoothstep
from trainer.data.people.surface import (
    BUST,
    EYE_LEFT,
    EYE_RIGHT,
    HEAD,
    TEETH_LOWER,
    TEETH_UPPER,
    TONGUE,
    PeopleSurface,
)

WORN = BUST + 1
"""Kind of the faces that belong to attachments."""
WRAP = (0.26, 0.12, 0.07)
"""How far red, green and blue light creep past the terminator of skin."""
SKIN_REFLECTANCE = 0.028


@dataclass(frozen=True)
class Picture:
    """What a batch looks like.

    Attributes
    ----------
    linear : (N, 3, S, S) linear light before exposure. labels : (N, S, S) uint8 of ``FaceClass``. coverage : (N, 1, S, S).
    albedo : (N, 3, S, S) linear, zero on the background. face_light : (N,) luminance of the light on the face's skin.
    """

    linear: Tensor
    labels: Tensor
    coverage: Tensor
    albedo: Tensor
    skin_level: Tensor


class Renderer:
    """Draws people of one surface at one size."""

    def __init__(self, surface: PeopleSurface, size: int, supersampling: float, backend: str = "auto") -> None:
        self.surface, self.size, self.backend = surface, size, backend
        self.inner = round(size * supersampling)
        self._maps = maps_at(512 if self.inner >= 320 else 256, surface.device)
        self._tiles = tiles_at(512 if self.inner >= 320 else 256, surface.device)
        self._open = self._openness()
        self._shadow_size = 128 if size >= 96 else 80
        rest = surface.rest[surface.source]
        self._eye_rest = torch.stack(
            [surface.rest[surface.kind == kind].mean(0) for kind in (EYE_LEFT, EYE_RIGHT)]
        )  # (2, 3)
        self._eye_radius = float((surface.rest[surface.kind == EYE_LEFT] - self._eye_rest[0]).norm(dim=-1).mean())
        self._static = torch.cat([surface.uv, rest], 1)[None]  # (1, X, 5)
        self._bust_top = float(surface.rest[surface.kind == BUST][:, 1].max()) + 0.012

    def _openness(self) -> Tensor:
        """(W,) how much of the sky each vertex sees; parts inside the head by how deep they lie."""
        surface = self.surface
        value = openness(surface.rest, surface.faces)
        kind, z = surface.kind, surface.rest[:, 2]
        inside = 0.75 * ((z - 0.085) / (0.146 - 0.085)).clamp(0.02, 1) ** 1.6
        value = torch.where((kind >= TEETH_UPPER) & (kind <= TONGUE), inside, value)
        mouth = torch.from_numpy(surface.template.regions["mouth_interior"]).to(value.device) > 0.5
        mouth = torch.cat([mouth, mouth.new_zeros(len(value) - len(mouth))])
        value = torch.where(mouth, torch.minimum(inside, torch.full_like(value, 0.5)), value)
        value = torch.where((kind == EYE_LEFT) | (kind == EYE_RIGHT), torch.full_like(value, 0.72), value)
        return value.clamp(0.02, 1)

    def draw(self, posed: Posed, light: HeadLight, skin: Columns, parts: Columns, worn: AttachmentMesh | None,
             background: Tensor) -> Picture:  # fmt: skip
        """Everything in one pass, then what is half transparent; background (N, 3, S, S) linear."""
        surface, device = self.surface, self.surface.device
        n = len(posed.drawn)
        points = posed.drawn[:, surface.source]  # (N, X, 3)
        normals = vertex_normals(posed.drawn, surface.faces)
        openness_ = self._open.expand(n, -1)
        faces, face_kind = surface.cut_faces, surface.face_kind
        all_points, all_faces = posed.drawn, surface.faces
        if worn is not None:
            opaque = worn.opaque
            points = torch.cat([points, opaque.vertices], 1)
            all_points = torch.cat([posed.drawn, opaque.vertices], 1)
            faces = torch.cat([faces, opaque.faces + len(surface.source)])
            all_faces = torch.cat([surface.faces, opaque.faces + posed.drawn.shape[1]])
            face_kind = torch.cat([face_kind, face_kind.new_full((len(opaque.faces),), WORN)])
        key = lamp_visibility(
            all_points, all_faces, light.directions[:, 0], light.softness[:, 0], self._shadow_size, self.backend
        )
        eyeballs = (surface.kind == EYE_LEFT) | (surface.kind == EYE_RIGHT)
        teeth = (surface.kind >= TEETH_UPPER) & (surface.kind <= TONGUE)
        own_key = key[:, : len(surface.kind)]
        own_key = torch.where(eyeballs, own_key.clamp(min=0.35), own_key)
        own_key = torch.where(teeth, torch.maximum(own_key, 0.5 * openness_), own_key)
        lit = torch.cat([self._even_light(normals, openness_, light), own_key[..., None]], -1)[:, surface.source]
        cut_normals = normals[:, surface.source]
        if worn is not None:
            ambient = self._even_light(
                worn.opaque.normals, worn.opaque.alpha.new_full(worn.opaque.alpha.shape, 0.75), light
            )
            worn_lit = torch.cat([ambient, key[:, len(surface.kind) :, None]], -1)
            lit, cut_normals = torch.cat([lit, worn_lit], 1), torch.cat([cut_normals, worn.opaque.normals], 1)
        camera = _camera_places(posed)
        view = camera[:, None] - points
        scale = self.inner / self.size
        pixels = posed.cameras.project(points) * points.new_tensor([scale, scale, 1.0])
        found = fragments(face_ids(pixels, faces, (self.inner, self.inner), backend=self.backend), faces)
        weights = fragment_barycentrics(pixels, found)
        values = fragment_values(torch.cat([cut_normals, view, lit], -1), found, weights)  # (P, 10)
        normal, sight = functional.normalize(values[:, :3], dim=-1), functional.normalize(values[:, 3:6], dim=-1)
        even, visible = values[:, 6:9], values[:, 9]
        paint = self._paint(found, weights, face_kind, posed, skin, parts, worn, normal)
        color = self._shade(paint, normal, sight, even, visible, found.image, light)
        n_pixels = self.inner * self.inner
        canvas = torch.cat([color, paint.albedo, torch.ones_like(visible)[:, None]], -1)
        image = found.scatter(canvas).permute(0, 3, 1, 2)  # (N, 7, H, W)
        labels = found.scatter(paint.labels.int()[:, None], 0)[..., 0].to(torch.uint8)
        del n_pixels, device
        skin_pixels = (paint.labels == int(FaceClass.SKIN)).float()
        luminance = color.detach() @ color.new_tensor([0.2126, 0.7152, 0.0722])
        level = torch.zeros(n, device=color.device).index_add_(0, found.image, luminance * skin_pixels)
        count = torch.zeros(n, device=color.device).index_add_(0, found.image, skin_pixels)
        behind = functional.interpolate(background, (self.inner, self.inner), mode="bilinear", align_corners=False)
        linear = image[:, :3] + behind * (1 - image[:, 6:])
        if worn is not None:
            depth = found.scatter(fragment_values(pixels[..., 2:], found, weights), torch.inf)[..., 0]
            linear, labels = self._veil(linear, labels, depth, worn, posed, light, camera, scale)
        return Picture(
            linear=_smaller(linear, self.size),
            labels=_smaller_labels(labels, self.size),
            coverage=_smaller(image[:, 6:], self.size),
            albedo=_smaller(image[:, 3:6], self.size),
            skin_level=level / count.clamp(min=1),
        )

    def _even_light(self, normals: Tensor, opened: Tensor, light: HeadLight) -> Tensor:
        """(N, V, 3) light of everything but the key lamp at unit normals (N, V, 3)."""
        even = shade(normals, light.ambient).clamp(min=0) * opened[..., None]
        wrap = normals.new_tensor(WRAP)
        for lamp in range(1, light.directions.shape[1]):
            cosine = (normals @ light.directions[:, lamp, :, None] + wrap) / (1 + wrap)
            even = even + cosine.clamp(min=0) * light.colours[:, lamp, None] * opened[..., None]
        return even

    def _paint(self, found: Fragments, weights: Tensor, face_kind: Tensor, posed: Posed, skin: Columns, parts: Columns,
               worn: AttachmentMesh | None, normal: Tensor) -> Painted:  # fmt: skip
        """Paint every covered pixel by the kind of its face."""
        kind = face_kind.index_select(0, found.face)
        count = len(kind)
        albedo = weights.new_zeros(count, 3)
        labels = torch.zeros(count, dtype=torch.uint8, device=weights.device)
        gloss, rough = weights.new_zeros(count), weights.new_full((count,), 0.5)

        def put(chosen: Tensor, paint: Painted) -> None:
            albedo.index_copy_(0, chosen, paint.albedo)
            labels.index_copy_(0, chosen, paint.labels)
            gloss.index_copy_(0, chosen, paint.gloss)
            rough.index_copy_(0, chosen, paint.roughness)

        x_count = len(self.surface.source)
        for wanted in (HEAD, EYE_LEFT, EYE_RIGHT, TEETH_UPPER, BUST, WORN):
            mask = (kind >= TEETH_UPPER) & (kind <= TONGUE) if wanted == TEETH_UPPER else kind == wanted
            chosen = mask.nonzero()[:, 0]
            if len(chosen) == 0:
                continue
            some = _subset(found, chosen)
            w, image = weights[chosen], some.image
            if wanted == WORN:
                put(chosen, self._paint_worn(some, w, x_count, worn))
                continue
            static = fragment_values(self._static.expand(1, -1, -1), _single(some), w)  # (p, 5)
            uv, rest = static[:, :2], static[:, 2:]
            if wanted == HEAD:
                put(chosen, self._paint_head(uv, skin, image))
            elif wanted in (EYE_LEFT, EYE_RIGHT):
                put(chosen, self._paint_eye(rest, wanted - EYE_LEFT, posed, parts, some, w, normal, chosen))
            elif wanted == TEETH_UPPER:
                own = kind[chosen]
                put(chosen, paint_mouth(rest, own != TONGUE, own == TEETH_LOWER, parts, image))
            else:
                noise = sample_tiles(self._tiles, torch.stack([rest[:, 0] + 0.4 * rest[:, 2], rest[:, 1]], -1) * 3.1)
                bare = self._bare_skin(skin, image, noise)
                put(chosen, paint_bust(rest, bare, noise, self._bust_top, parts, image))
        return Painted(albedo, labels, gloss, rough)

    def _bare_skin(self, skin: Columns, image: Tensor, noise: Tensor) -> Tensor:
        from trainer.data.people.look import BLOOD_ABSORPTION, MELANIN_ABSORPTION, PALE_SKIN

        melanin = skin.at("melanin", image) * (1 + 0.07 * skin.at("blotch", image) * noise[0])
        blood = skin.at("redness", image) + 0.05 * noise[1]
        density = melanin[:, None] * noise.new_tensor(MELANIN_ABSORPTION) + blood[:, None] * noise.new_tensor(
            BLOOD_ABSORPTION
        )
        return noise.new_tensor(PALE_SKIN) * torch.exp(-density)

    def _paint_head(self, uv: Tensor, skin: Columns, image: Tensor) -> Painted:
        maps = sample_maps(self._maps, uv)
        place = skin.at("noise", image)
        tiles = sample_tiles(self._tiles, uv * 2.0 + place[:, :2])
        side = torch.where(uv[:, 0] > 0.5, 1.0, -1.0)
        # brow hair lies along the brow, beard hair down: strands of the tile run along its first axis
        along = maps[4] * 0.10 + 0.06 * maps[5] * side
        on_brow = maps[4] > -0.5 + 1e-3
        across = maps[5] * 0.16 - 0.10 * maps[4]
        beard = torch.stack([uv[:, 0] * 3.0, uv[:, 1] * 2.0], -1)
        brow = torch.stack([across * 3, along * 3], -1)
        near = (on_brow & (maps[4] > -0.2) & (maps[4] < 1.2) & (maps[5].abs() < 1.2))[:, None]
        hair = sample_tiles(self._tiles, torch.where(near, brow, beard) + place[:, 2:4])
        return paint_skin(maps, tiles, hair, skin, image)

    def _paint_eye(self, rest: Tensor, eye: int, posed: Posed, parts: Columns, some: Fragments, weights: Tensor,
                   normal: Tensor, chosen: Tensor) -> Painted:  # fmt: skip
        offset = rest - self._eye_rest[eye]
        paint = paint_eye(offset, self._eye_radius, sample_tiles(self._tiles, iris_place(offset)), parts, some.image)
        # the lids' shadow, and the dark between lid and ball
        out = normal[chosen]
        azimuth = torch.atan2(out[:, 0], out[:, 2])
        elevation = torch.atan2(out[:, 1], torch.hypot(out[:, 0], out[:, 2]))
        upper = lid_height(azimuth, posed.lids[:, eye, 0], some.image) - elevation
        lower = elevation - lid_height(azimuth, posed.lids[:, eye, 1], some.image)
        dark = 0.30 + 0.70 * smoothstep(-0.02, 0.34, upper)
        dark = dark * (0.72 + 0.28 * smoothstep(-0.02, 0.14, lower))
        wet = smoothstep(0.05, 0.0, lower) * 0.15
        albedo = paint.albedo * (dark - wet * 0.2)[:, None]
        return Painted(albedo, paint.labels, paint.gloss * dark, paint.roughness)

    def _paint_worn(self, some: Fragments, weights: Tensor, start: int, worn: AttachmentMesh) -> Painted:
        layer = worn.opaque
        own = Fragments(some.size, some.pixel, some.image, some.face, some.corners - start)
        values = fragment_values(
            torch.cat([layer.albedo, layer.detail, layer.specular[..., None], layer.roughness[..., None]], -1),
            own,
            weights,
        )
        labels = layer.labels.flatten()[some.image * len(layer.faces) + some.face - len(self.surface.cut_faces)]
        albedo = values[:, :3] * surface_tone(values[:, 3:7])
        return Painted(albedo.clamp(0.002, 0.95), labels, values[:, 7] * 10, values[:, 8].clamp(0.05, 1))

    def _shade(self, paint: Painted, normal: Tensor, sight: Tensor, even: Tensor, visible: Tensor, image: Tensor,
               light: HeadLight) -> Tensor:  # fmt: skip
        """(P, 3) light towards the camera."""
        key = light.directions[:, 0].index_select(0, image)
        colour = light.colours[:, 0].index_select(0, image)
        cosine = (normal * key).sum(-1)
        wrap = normal.new_tensor(WRAP)
        diffuse = ((cosine[:, None] + wrap) / (1 + wrap)).clamp(min=0) * visible[:, None]
        facing = (normal * sight).sum(-1).clamp(0, 1)
        half = functional.normalize(key + sight, dim=-1)
        alpha = (paint.roughness * paint.roughness).clamp(min=0.004)
        power = 2 / (alpha * alpha).clamp(min=1e-4) * 0.25 + 2
        lobe = ((power + 8) / 8) * (normal * half).sum(-1).clamp(min=1e-4, max=1) ** power
        lobe = lobe * cosine.clamp(min=0) * visible
        fresnel = SKIN_REFLECTANCE + 0.45 * (1 - facing) ** 5
        strength = SKIN_REFLECTANCE * paint.gloss
        glow = even * (fresnel * paint.gloss.clamp(max=2.0) * (1 - paint.roughness))[:, None]
        return paint.albedo * (even + diffuse * colour) + colour * (strength * lobe).clamp(max=6)[:, None] + glow

    def _veil(self, linear: Tensor, labels: Tensor, depth: Tensor, worn: AttachmentMesh, posed: Posed,
              light: HeadLight, camera: Tensor, scale: float) -> tuple[Tensor, Tensor]:  # fmt: skip
        """Blend what is half transparent over pictures (N, 3, H, W) with depth (N, H, W)."""
        layer = worn.veil
        if len(layer.faces) == 0:
            return linear, labels
        pixels = posed.cameras.project(layer.vertices) * linear.new_tensor([scale, scale, 1.0])
        ids = face_ids(pixels, layer.faces, (self.inner, self.inner), backend=self.backend)
        found = fragments(ids, layer.faces)
        weights = fragment_barycentrics(pixels, found)
        even = self._even_light(layer.normals, torch.full_like(layer.alpha, 0.85), light)
        tail = torch.stack([layer.alpha, layer.mirror, layer.specular, layer.roughness], -1)
        values = fragment_values(
            torch.cat([pixels[..., 2:], layer.normals, camera[:, None] - layer.vertices, layer.tangent, even,
                       layer.albedo, layer.detail, tail], -1), found, weights)  # fmt: skip
        own_depth, normal, sight = values[:, 0], values[:, 1:4], functional.normalize(values[:, 4:7], dim=-1)
        tangent, even, albedo, detail = values[:, 7:10], values[:, 10:13], values[:, 13:16], values[:, 16:20]
        alpha, mirror, specular, rough = values[:, 20:].unbind(-1)
        key = light.directions[:, 0].index_select(0, found.image)
        colour = light.colours[:, 0].index_select(0, found.image)
        cosine = (functional.normalize(normal, dim=-1) * key).sum(-1, keepdim=True).clamp(min=0)
        color = albedo * surface_tone(detail) * (even + cosine * colour)
        color = color + colour * fibre_highlight(tangent, key, sight, rough) * specular[:, None] * 0.2
        alpha = torch.where(own_depth < found.gather(depth), alpha, torch.zeros_like(alpha)).clamp(0, 1)
        color = color * alpha[:, None] + torch.where(alpha > 0, mirror, torch.zeros_like(mirror))[:, None]
        over = found.scatter(torch.cat([color, alpha[:, None]], -1)).permute(0, 3, 1, 2)
        linear = linear * (1 - over[:, 3:]) + over[:, :3]
        own = layer.labels.flatten()[found.image * len(layer.faces) + found.face].int()
        solid = alpha >= VEIL_LABEL_ALPHA
        veil_labels = found.scatter(torch.where(solid, own, torch.full_like(own, -1))[:, None], -1)[..., 0]
        return linear, torch.where(veil_labels >= 0, veil_labels.to(torch.uint8), labels)


def _camera_places(posed: Posed) -> Tensor:
    """(N, 3) the cameras in the head frame."""
    pose = posed.cameras.camera_from_head
    return -(pose[:, :3, :3].transpose(1, 2) @ pose[:, :3, 3:])[..., 0]


def _subset(found: Fragments, chosen: Tensor) -> Fragments:
    corners = found.corners.t().index_select(1, chosen).t()
    return Fragments(found.size, found.pixel[chosen], found.image[chosen], found.face[chosen], corners)


def _single(found: Fragments) -> Fragments:
    """The same for attributes that all pictures share."""
    return found


def _smaller(images: Tensor, size: int) -> Tensor:
    """Pictures averaged down to ``size``."""
    if images.shape[-1] == size:
        return images
    return functional.interpolate(images, (size, size), mode="area")


def _smaller_labels(labels: Tensor, size: int) -> Tensor:
    """(N, size, size) the class that covers most of each pixel; among equals the lowest."""
    if labels.shape[-1] == size:
        return labels
    best = torch.zeros(len(labels), size, size, device=labels.device)
    result = torch.zeros(len(labels), size, size, dtype=torch.uint8, device=labels.device)
    for one in FaceClass:
        share = _smaller((labels == int(one))[:, None].float(), size)[:, 0]
        result.masked_fill_(share > best, int(one))
        best = torch.maximum(best, share)
    return result
