"""A ``FaceAsset`` as one triangle mesh that can be posed and rendered: parts after a Catmull-Clark step, one index for
all attributes, plain materials, and the lashes' opacity.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np
import scipy.sparse as sp
from PIL import Image
from scipy.spatial import cKDTree

from backend.detail.skin_detail import SkinDetail, relief_shading
from backend.exchange.face_asset import FaceAsset, FacePart
from backend.geometry.subdivision import catmull_clark, linear_split
from backend.geometry.template import load_template, triangulate
from backend.geometry.vectors import vertex_normals
from backend.hair.draw import DRAWN, FinishedHairs, draw_hair, finished_hairs
from backend.rendering.camera import Camera, look_at
from backend.rendering.color import linear_from_srgb, srgb_bytes
from backend.rendering.render import Rendering, render_linear
from backend.rendering.spherical_harmonics import light_from_directions
from backend.rig.measure import face_loops
from backend.system.files import ASSETS
from backend.system.numba_cache import njit
from backend.texture.parts import light_below_chin
from protocol.names import ARKIT_NAMES, GLASSES

LASHES_PATH = ASSETS / "lashes.png"
"""Tapering hairs: the upper half for upper lashes, roots at the lower edge of each half,
the eye's inner corner at the left."""


@dataclass(frozen=True)
class SubdividedPart:
    """A part's topology at level 1.

    Attributes
    ----------
    matrix : (V1, V) CSR; ``matrix @ vertices`` are the level's positions, neutral or posed.
    quads : (F1, 4) int into the rows of ``matrix``.
    uv : (T1, 2) float32 map ``Head``, v up. uv_quads : (F1, 4) int.
    """

    matrix: sp.csr_matrix
    quads: np.ndarray
    uv: np.ndarray
    uv_quads: np.ndarray


def subdivided(part: FacePart) -> SubdividedPart:
    """Subdivide a part once; a part with triangles is returned unchanged, because the step needs quads."""
    count = len(part.vertices)
    if (part.quads[:, 2] == part.quads[:, 3]).any():
        return SubdividedPart(sp.identity(count, format="csr"), part.quads, part.uv, part.uv_quads)
    matrix, quads = catmull_clark(part.quads, count)
    uv_matrix, uv_quads = linear_split(part.uv_quads, len(part.uv))
    return SubdividedPart(matrix, quads, (uv_matrix @ part.uv).astype(np.float32), uv_quads)


def lash_alpha(asset: FaceAsset) -> np.ndarray:
    """(V,) float32 alpha in [0, 1] of the vertices of part ``lashes``, 1 where they are not the template's."""
    alpha, count = load_template().sculpture.lash_alpha, len(asset.part("lashes").vertices)
    return alpha if len(alpha) == count else np.ones(count, np.float32)


def lash_positions(asset: FaceAsset) -> np.ndarray | None:
    """(V, 2) float32 UVs of part ``lashes`` in ``lash_picture``, v up; None if they are not the template's."""
    places = load_template().sculpture.lash_uv
    return places if len(places) == len(asset.part("lashes").vertices) else None


def lash_picture() -> np.ndarray:
    """(512, 1024, 4) uint8: one sRGB colour, opaque on hairs; row 0 is v = 1."""
    with Image.open(LASHES_PATH) as picture:
        return np.asarray(picture)


RENDERED_TEXTURE = 1024
"""Side of the albedo in renders, in texels; images of a head are smaller than this."""

_EYES = {"eye_left": 1, "eye_right": 2}
_MOUTH = ("teeth_upper", "teeth_lower", "tongue")
_CORNEA = 0.87  # cosine of the angle from the eye's axis that bounds the cornea
_BULGE = 1.8  # curvature relative to the eyeball; the mesh has no corneal bulge
_GLINT, _GLINT_SIZE = 0.55, 0.10  # linear light; sine


@dataclass(frozen=True)
class AssetMesh:
    """All parts merged into one mesh, after one Catmull-Clark step.

    Attributes
    ----------
    matrix : (V, C) sparse, from the concatenated vertices of the parts to ``vertices``.
    cage : (C, 3) float32 the parts' neutral vertices, head frame, metres.
    keys : (52, C, 3) float32 offsets in ARKit's order.
    faces : (T, 3) int64. uv : (U, 2) float32 map ``Head``, v up. uv_faces : (T, 3) int64.
    alpha : (V,) float32, below 1 on the lashes. eye : (V,) uint8, 1 on the left eyeball, 2 on the right, else 0.
    mouth : (V,) float32, 1 on teeth, tongue and the mouth's lining, else 0.
    lit : (V,) float32 in [0, 1] of ``shade_below_chin``, 1 on other parts.
    albedo : (R, R, 3) float32 linear, R at most ``RENDERED_TEXTURE``.
    hair : finished, if any; expressions move a beard only.
    relief : of the skin, rendered as shading on the head, whose vertices come first in ``cage``.
    worn : vertices, triangles, colour and opacity of what stays still, frame and lenses of glasses.
    """

    matrix: sp.csr_matrix
    cage: np.ndarray
    keys: np.ndarray
    faces: np.ndarray
    uv: np.ndarray
    uv_faces: np.ndarray
    alpha: np.ndarray
    eye: np.ndarray
    mouth: np.ndarray
    lit: np.ndarray
    albedo: np.ndarray
    hair: FinishedHairs | None = None
    relief: SkinDetail | None = None
    worn: tuple[tuple[np.ndarray, np.ndarray, np.ndarray, float], ...] = ()

    def positions(self, expression: np.ndarray | None = None) -> np.ndarray:
        """(V, 3) neutral positions, or those under an expression (52,) of weights."""
        cage = self.cage
        if expression is not None:
            cage = cage + np.tensordot(np.asarray(expression, np.float32), self.keys, axes=1)
        return self.matrix @ cage

    def posed_hair(self, positions: np.ndarray) -> FinishedHairs:
        """The hairs on a posed head (V, 3); those of the face stand where their skin is."""
        facial, points = self.hair.facial, self.hair.points
        if not facial.any():
            return self.hair
        rest, points = self.positions(), points.copy()
        points[facial] += (positions - rest)[cKDTree(rest).query(points[facial, 0])[1], None]
        return replace(self.hair, points=points)

    def render(
        self,
        camera: Camera,
        light: np.ndarray,
        background: np.ndarray | tuple[int, int, int],
        expression: np.ndarray | None = None,
        lamp: np.ndarray | None = None,
    ) -> np.ndarray:
        """Render a (H, W, 3) uint8 sRGB image under a light (9, 3) over a background. The eyes look straight ahead and
        reflect a lamp in direction (3,) of the head frame, if given."""
        positions = self.positions(expression)
        if self.relief is not None:
            relit = replace(self, albedo=self._relit(light, expression), relief=None)
            return relit.render(camera, light, background, expression, lamp)
        normals = vertex_normals(positions, self.faces)
        lit = self.lit * self._through_lips(positions, normals)
        see_through = self.alpha[self.faces].min(axis=1) < 1
        solid = self._render(positions, normals, lit, ~see_through, camera, light, self.hair is not None)
        picture = solid.over(background)
        window = _window(camera, positions[np.unique(self.faces[see_through])])
        if window is not None:  # lashes are alpha-blended; only their surroundings are rendered again
            rows, columns, part_camera = window
            behind = linear_from_srgb(picture[rows, columns])
            everything = np.ones_like(see_through)
            drawn = self._render(positions, normals, lit, everything, part_camera, light)
            front = linear_from_srgb(drawn.over(picture[rows, columns]))
            shares = np.where(self.alpha < 1, self.alpha, 0.0)[:, None].repeat(3, axis=1)
            share = render_linear(positions, self.faces, part_camera, colors=shares).color
            picture[rows, columns] = srgb_bytes(behind + share * (front - behind))
        if lamp is not None:
            self._add_glints(picture, positions, camera, np.asarray(lamp, np.float64))
        depth, faces = solid.depth, self.faces[~see_through]
        for piece in self.worn:
            picture, depth = _with_piece(picture, depth, positions, faces, piece, camera, light)
        if self.hair is not None:
            hair = draw_hair(self.posed_hair(positions), camera, positions, faces, light, depth)
            picture = srgb_bytes(hair.color + linear_from_srgb(picture) * hair.light * (1 - hair.alpha[..., None]))
        return picture

    def _through_lips(self, positions: np.ndarray, normals: np.ndarray) -> np.ndarray:
        """(V,) share of the light that comes through the open lips, 1 outside the mouth: the form factor of the lips'
        contour (Lambert 1760)."""
        share = np.ones(len(positions), np.float32)
        template = load_template()
        if self.matrix.shape[1] < template.head.vertex_stop:
            return share
        inside = np.flatnonzero(self.mouth > 0)
        mouth = face_loops(template).mouth
        form = polygon_form_factor(positions[inside], normals[inside], positions[mouth.rows[mouth.contact]])
        share[inside] += self.mouth[inside] * (form - 1.0)
        return share

    def _relit(self, light: np.ndarray, expression: np.ndarray | None) -> np.ndarray:
        """The albedo (R, R, 3) multiplied by the shading of the relief."""
        template = load_template()
        cage = self.cage[: template.head.vertex_stop]
        if expression is not None:
            cage = cage + np.tensordot(np.asarray(expression, np.float32), self.keys[:, : len(cage)], axes=1)
        shading = relief_shading(self.relief, template, cage, light, len(self.albedo), expression)
        return self.albedo * shading[..., None]

    def _add_glints(self, picture: np.ndarray, positions: np.ndarray, camera: Camera, lamp: np.ndarray) -> None:
        """Add the lamp's reflections on the corneas to an image (H, W, 3), in place."""
        normals = np.zeros((len(positions), 3), np.float32)
        for eye in np.unique(self.eye[self.eye > 0]):
            points = positions[self.eye == eye]
            centre = (points.min(axis=0) + points.max(axis=0)) / 2
            normals[self.eye == eye] = (points - centre) / np.linalg.norm(points - centre, axis=1).mean()
        window = _window(camera, positions[(self.eye > 0) & (normals[:, 2] > _CORNEA)])
        if window is None:
            return
        rows, columns, part_camera = window
        solid = (self.alpha[self.faces] == 1).all(axis=1)
        shown = render_linear(positions, self.faces[solid], part_camera, colors=normals).color
        towards_camera = camera.centre() - positions[self.eye > 0].mean(axis=0)
        half = lamp / np.linalg.norm(lamp) + towards_camera / np.linalg.norm(towards_camera)
        half /= np.linalg.norm(half)
        off = ((shown[..., :2] * _BULGE - half[:2]) ** 2).sum(axis=-1)  # distance from the mirroring normal
        glint = _GLINT * np.exp(-off / (2 * _GLINT_SIZE**2)) * (shown[..., 2] > _CORNEA)
        picture[rows, columns] = srgb_bytes(linear_from_srgb(picture[rows, columns]) + glint[..., None])

    def _render(
        self,
        positions: np.ndarray,
        normals: np.ndarray,
        lit: np.ndarray,
        shown: np.ndarray,
        camera: Camera,
        light: np.ndarray,
        with_depth: bool = False,
    ) -> Rendering:
        return render_linear(
            positions,
            self.faces[shown],
            camera,
            texture=self.albedo,
            uv=self.uv,
            uv_faces=self.uv_faces[shown],
            light=light,
            normals=normals,
            openness=lit,
            with_depth=with_depth,
        )


def _with_piece(
    picture: np.ndarray,
    depth: np.ndarray | None,
    positions: np.ndarray,
    faces: np.ndarray,
    piece: tuple[np.ndarray, np.ndarray, np.ndarray, float],
    camera: Camera,
    light: np.ndarray,
) -> tuple[np.ndarray, np.ndarray | None]:
    """The picture with a piece of ``AssetMesh.worn`` on the head, and the depth with it where it is opaque."""
    vertices, triangles, colour, opacity = piece
    points, both = np.concatenate([positions, vertices]), np.concatenate([faces, triangles + len(positions)])
    shown = np.zeros((len(points), 3), np.float32)
    shown[len(positions) :] = 1.0
    cover = render_linear(points, both, camera, colors=shown, with_depth=depth is not None)
    lit = render_linear(points, both, camera, colors=shown * colour, light=light).color
    mixed = linear_from_srgb(picture) * (1 - opacity * cover.color) + opacity * lit
    picture = np.where(cover.color > 0, srgb_bytes(mixed), picture)
    return picture, cover.depth if opacity == 1.0 else depth


@njit(cache=True, nogil=True)
def polygon_form_factor(points: np.ndarray, normals: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """(N,) share in [0, 1] of the light over each point (N, 3) with its normal (N, 3) that a polygon (C, 3) sends, both
    ways round: the sum over its edges of the angle they subtend times the plane's normal (Lambert 1760)."""
    share = np.empty(len(points))
    for i in range(len(points)):
        total, ax, ay, az = 0.0, 0.0, 0.0, 0.0
        for k in range(-1, len(corners)):
            bx, by, bz = corners[k, 0] - points[i, 0], corners[k, 1] - points[i, 1], corners[k, 2] - points[i, 2]
            length = max(np.sqrt(bx * bx + by * by + bz * bz), 1e-9)
            bx, by, bz = bx / length, by / length, bz / length
            x, y, z = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx  # 0 for the first
            sine = np.sqrt(x * x + y * y + z * z)
            along = x * normals[i, 0] + y * normals[i, 1] + z * normals[i, 2]
            total += along / max(sine, 1e-9) * np.arctan2(sine, ax * bx + ay * by + az * bz)
            ax, ay, az = bx, by, bz
        share[i] = min(max(-total / (2.0 * np.pi), 0.0), 1.0)
    return share


def _window(camera: Camera, points: np.ndarray) -> tuple[slice, slice, Camera] | None:
    """Rows and columns of the image around projected points (P, 3), and the camera of that crop."""
    if len(points) == 0:
        return None
    projected = camera.project(points)[:, :2]
    left, top = np.maximum(np.floor(projected.min(axis=0)).astype(int) - 1, 0)
    right, bottom = np.minimum(np.ceil(projected.max(axis=0)).astype(int) + 1, camera.size)
    if right <= left or bottom <= top:
        return None
    return slice(top, bottom), slice(left, right), camera_window(camera, left, top, right - left, bottom - top)


def camera_window(camera: Camera, left: float, top: float, width: int, height: int) -> Camera:
    """The camera of a crop (width, height) of a camera's image with upper left corner (left, top)."""
    shift = np.array([[1.0, 0.0, -left], [0.0, 1.0, -top], [0.0, 0.0, 1.0]])
    return Camera(shift @ camera.intrinsics, camera.camera_from_head, (int(width), int(height)))


def asset_mesh(asset: FaceAsset, with_bust: bool = False) -> AssetMesh:
    """Merge the asset's parts into one mesh; ``with_bust`` adds the bust, if any, as the last part."""
    matrices, cages, keys, faces, uvs, uv_faces, alphas, eyes, mouths, lit = [], [], [], [], [], [], [], [], [], []
    shaded = shade_below_chin(asset)
    template = load_template()
    vertices_before = uvs_before = 0
    bust = (asset.bust,) if with_bust and asset.bust is not None else ()
    for part in (*asset.parts, *bust):
        level = subdivided(part)
        split = triangulate(level.quads)
        still = np.zeros_like(part.vertices)
        alpha = lash_alpha(asset) if part.name == "lashes" else np.ones(len(part.vertices), np.float32)
        alphas.append(level.matrix @ alpha)
        eyes.append(np.full(level.matrix.shape[0], _EYES.get(part.name, 0), np.uint8))
        of_mouth = np.full(len(part.vertices), part.name in _MOUTH, np.float32)
        if part.name == "head" and len(part.vertices) == template.head.vertex_stop:
            of_mouth = template.regions["mouth_interior"][: len(part.vertices)].astype(np.float32)
        mouths.append(level.matrix @ of_mouth)
        lit.append(level.matrix @ shaded.get(part.name, np.ones(len(part.vertices), np.float32)))
        matrices.append(level.matrix)
        cages.append(part.vertices)
        keys.append(np.stack([part.keys.get(name, still) for name in ARKIT_NAMES]))
        faces.append(split.faces + vertices_before)
        uvs.append(level.uv)
        uv_faces.append(split.apply(level.uv_quads) + uvs_before)
        vertices_before += level.matrix.shape[0]
        uvs_before += len(level.uv)
    return AssetMesh(
        matrix=sp.block_diag(matrices, format="csr"),
        cage=np.concatenate(cages),
        keys=np.concatenate(keys, axis=1),
        faces=np.concatenate(faces),
        uv=np.concatenate(uvs),
        uv_faces=np.concatenate(uv_faces),
        alpha=np.concatenate(alphas).round(5),
        eye=np.concatenate(eyes),
        mouth=np.concatenate(mouths),
        lit=np.concatenate(lit).clip(0.0, 1.0),
        albedo=reduced(linear_from_srgb(asset.albedo), RENDERED_TEXTURE),
        hair=None if asset.hair_strands is None else finished_hairs(asset.hair_strands, DRAWN),
        relief=asset.detail,
        worn=_worn_pieces(asset),
    )


def _worn_pieces(asset: FaceAsset) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray, float], ...]:
    pieces = []
    for part in () if asset.glasses is None else asset.glasses.parts:
        level, look = subdivided(part), part_material(asset, part.name)
        faces = triangulate(level.quads).faces
        pieces.append((level.matrix @ part.vertices, faces, np.float32(look.colour), look.opacity))
    return tuple(pieces)


def shade_below_chin(asset: FaceAsset) -> dict[str, np.ndarray]:
    """(V,) ``light_below_chin`` of head and bust, by part; empty for other heads than the template's."""
    parts = [part for part in (asset.parts[0], asset.bust) if part is not None]
    if len(parts[0].vertices) != load_template().head.vertex_stop:
        return {}
    lit = _lit_below_chin(*(part.vertices.astype(np.float32).tobytes() for part in parts))
    return {part.name: own for part, own in zip(parts, lit, strict=True)}


@lru_cache(maxsize=2)
def _lit_below_chin(*parts: bytes) -> list[np.ndarray]:
    """``light_below_chin`` by the bytes of float32 vertices: a head's file and all its pictures ask for it."""
    return light_below_chin(load_template(), [np.frombuffer(one, np.float32).reshape(-1, 3) for one in parts])


def reduced(texture: np.ndarray, side: int) -> np.ndarray:
    """A linear texture (R, R, 3) averaged over squares to at most ``side`` texels wide."""
    factor = -(-len(texture) // side)
    if factor <= 1 or len(texture) % factor:
        return texture
    small = len(texture) // factor
    return cv2.resize(texture, (small, small), interpolation=cv2.INTER_AREA)


def portrait_camera(vertices: np.ndarray, yaw_degrees: float, size: tuple[int, int], distance: float = 1.2) -> Camera:
    """A portrait camera that shows the whole head.

    Parameters
    ----------
    vertices : (V, 3) points that must fit into the image, metres.
    yaw_degrees : position of the camera; 0 is in front, 90 at the person's left side.
    size : (width, height) in pixels. distance : to the head's middle, metres.
    """
    middle = (vertices.min(axis=0) + vertices.max(axis=0)) / 2
    unit = look_at(-yaw_degrees, 0.0, 0.0, distance, 1.0, size, middle)
    half = np.divide(size, 2)
    reach = np.abs(unit.project(vertices)[:, :2] - half).max(axis=0)  # at a focal length of one pixel
    return look_at(-yaw_degrees, 0.0, 0.0, distance, 0.92 * min(half / reach), size, middle)


def neutral_lamps(yaw_degrees: float = 0.0) -> np.ndarray:
    """(2, 3) unit vectors towards the lamps of ``neutral_light``: key light at the camera's upper left, fill light."""
    yaw = np.radians(yaw_degrees)
    turn = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])  # about y
    towards_lamps = np.array([[-0.45, 0.55, 0.70], [0.80, 0.10, 0.59]])
    towards_lamps /= np.linalg.norm(towards_lamps, axis=1, keepdims=True)
    return towards_lamps @ turn.T


def neutral_light(yaw_degrees: float = 0.0) -> np.ndarray:
    """(9, 3) soft white light fixed to the camera: a key light from its upper left, a fill light from its right."""
    strengths = np.array([[0.80] * 3, [0.26] * 3])
    return light_from_directions(neutral_lamps(yaw_degrees), strengths, 0.44)


@dataclass(frozen=True)
class SplitMesh:
    """A part as triangles; a vertex on a UV seam of either map appears once per side of the seam.

    Attributes
    ----------
    source : (N,) int32 vertex of the part copied by each split vertex; ``part.vertices[source]`` are positions.
    uv : (N, 2) float32 map ``Head``, v up.
    uv_makehuman : (N, 2) float32 map ``MakeHuman``, v up.
    triangles : (T, 3) int32 into the split vertices, counter-clockwise from outside.
    """

    source: np.ndarray
    uv: np.ndarray
    uv_makehuman: np.ndarray
    triangles: np.ndarray


def split_at_seams(part: FacePart) -> SplitMesh:
    """Triangulate a part and split its vertices at UV seams; the order is deterministic."""
    corners = np.stack([part.quads, part.uv_quads, part.uv_makehuman_quads], axis=-1)  # (F, 4, 3)
    unique, inverse = np.unique(corners.reshape(-1, 3), axis=0, return_inverse=True)
    split = triangulate(part.quads).apply(inverse.reshape(-1, 4))
    return SplitMesh(
        source=unique[:, 0].astype(np.int32),
        uv=part.uv[unique[:, 1]].astype(np.float32),
        uv_makehuman=part.uv_makehuman[unique[:, 2]].astype(np.float32),
        triangles=split.astype(np.int32),
    )


ALBEDO, EYES, LASHES = "albedo", "eyes", "lashes"
"""Images of a part: the eyes' is of map ``Eye``; the lashes' has an opacity and its own map."""


@dataclass(frozen=True)
class PartMaterial:
    """A part's material.

    ``picture`` : ``ALBEDO``, ``EYES``, ``LASHES``, or None for plain ``colour`` (linear light). ``opacity`` : of the
    whole part.
    """

    name: str
    roughness: float
    picture: str | None = ALBEDO
    colour: tuple[float, float, float] = (1.0, 1.0, 1.0)
    opacity: float = 1.0


SKIN = PartMaterial("skin", 0.5)
_CLEAR = 0.12
"""Opacity of clear parts: in these formats highlights fade with opacity, so that 0 would remove the catchlight."""
_OF_PARTS: dict[str, PartMaterial] = {
    "eye_left": PartMaterial("eye", 0.15),
    "eye_right": PartMaterial("eye", 0.15),
    "teeth_upper": PartMaterial("teeth", 0.3),
    "teeth_lower": PartMaterial("teeth", 0.3),
    "tongue": PartMaterial("tongue", 0.35),
    "lashes": PartMaterial("lashes", 0.5),
    "cornea_left": PartMaterial("cornea", 0.03, None, (0.02, 0.02, 0.02), _CLEAR),
    "cornea_right": PartMaterial("cornea", 0.03, None, (0.02, 0.02, 0.02), _CLEAR),
    "tear_lines": PartMaterial("tears", 0.05, None, (0.5, 0.5, 0.5), _CLEAR),
    "caruncles": PartMaterial("caruncles", 0.25, None, (0.41, 0.18, 0.15)),
}
_EYE_WITH_OWN_MAP = PartMaterial("eye", 0.3, EYES)
SINGLE_LASHES = PartMaterial("lashes", 0.5, LASHES)


def part_material(asset: FaceAsset, name: str) -> PartMaterial:
    """The material of the asset's part ``name``."""
    if asset.eyes is not None and name in asset.eyes.uv:
        return _EYE_WITH_OWN_MAP
    if asset.glasses is not None and name in GLASSES:
        worn = asset.glasses
        frame = PartMaterial("frame", 0.3, None, worn.frame_colour)
        return (frame, PartMaterial("lens", 0.05, None, worn.lens_colour, worn.lens_opacity))[GLASSES.index(name)]
    return _OF_PARTS.get(name, SKIN)
