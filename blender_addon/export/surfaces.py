"""Materials of an exported head: what the scene shows, in pictures and numbers that every format has.

Albedo, opacity, roughness and the relief at rest as a normal map (OpenGL's, green up), without emission: the scene's
procedural nodes, vertex attributes and refraction have no words in glTF and FBX.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import bpy
import numpy as np

from ..objects import tags
from ..objects.meshes import SKIN_ROUGHNESS, UV_EYE, UV_HEAD, UV_LASH, array_of, attribute_or, coordinates
from ..scene import materials
from ..scene.hair import CARD_COLOUR, CARD_UV
from ..scene.mpfb import covered_texels, grow
from ..scene.nodes import add_nodes, new_material
from ..shared.hair_cards import card_atlas
from ..shared.photo_folder import png_bytes

HAIR = "hair"
"""Name of the hair cards among the parts of a file."""
COAT_ROUGHNESS = 0.02
"""Of the tear film on the eyes, as in the scene."""
ROUGHNESS_SIDE = 1024
"""Texels a side of the roughness map: three for each edge of the mesh, which has a value for each vertex."""
GUTTER = 4
"""Rings of texels around a chart that repeat its rim, for filtered lookups."""


@dataclass(frozen=True)
class Surface:
    """A part's surface, as in the backend's ``face.glb``.

    ``picture`` : tag of the head's image, None for plain ``colour`` (linear light; empty: the part's own). ``opacity``
    : of the whole part; clear parts keep some, because highlights fade with it in these formats. ``see_through`` : the
    picture has an opacity. ``specular`` : level at normal incidence, 0.5 for 4 %. ``transmission``, ``ior``, ``coat``
    : of glTF's extensions; programs without them, and FBX, show the surface by the values before.
    """

    roughness: float
    picture: str | None = tags.ALBEDO
    uv_map: str = UV_HEAD
    colour: tuple[float, ...] = (1.0, 1.0, 1.0)
    opacity: float = 1.0
    see_through: bool = False
    specular: float = 0.5
    transmission: float = 0.0
    ior: float = 1.5
    coat: float = 0.0


SURFACES: Mapping[str, Surface] = {
    "skin": Surface(0.5, specular=0.4),
    "eyes": Surface(0.3, tags.EYES, UV_EYE, specular=0.2, coat=1.0),
    "teeth": Surface(0.3),
    "tongue": Surface(0.35),
    "lashes": Surface(0.5, tags.LASHES, UV_LASH, see_through=True, specular=0.2),
    "cornea": Surface(0.03, None, colour=(0.02, 0.02, 0.02), opacity=0.12, transmission=1.0, ior=1.376),
    "tears": Surface(0.05, None, colour=(0.5, 0.5, 0.5), opacity=0.12, transmission=1.0, ior=1.336),
    "caruncles": Surface(0.25, None, colour=(0.41, 0.18, 0.15)),
    "frame": Surface(0.3, None, colour=()),
    "lens": Surface(0.05, None, colour=()),
    HAIR: Surface(0.7, HAIR, CARD_UV, see_through=True, specular=0.2),
}


class ExportMaterials:
    """The materials of one file. ``remove`` deletes them and their images."""

    def __init__(self, name: str, collection: bpy.types.Collection, parts: Sequence[bpy.types.Object], exporter: str):
        """``parts`` : the head's objects, head first; ``exporter`` : the preset's. glTF multiplies pictures by vertex
        colours; in USD what is clear is coloured glass, without opacity."""
        self.name, self.collection, self.parts = name, collection, parts
        self.tint, self.glass = exporter == "gltf", exporter == "usd"
        self.made: dict[str, bpy.types.Material] = {}
        self.images: list[bpy.types.Image] = []
        self.named: list[tuple[bpy.types.Image, str]] = []

    def put_on(self, copy: bpy.types.Object, part: bpy.types.Object, one_mesh: bool) -> None:
        """Give ``copy`` of ``part`` its material and leave it the UV map of that alone."""
        look = materials.LOOKS[part[tags.PART]] if tags.PART in part else HAIR
        if look not in self.made:
            self.made[look] = self._material(look, part)
        wanted = UV_HEAD if one_mesh else SURFACES[look].uv_map
        layers = copy.data.uv_layers
        for name in [layer.name for layer in layers if layer.name != wanted and wanted in layers]:
            layers.remove(layers[name])
        copy.data.materials.clear()
        copy.data.materials.append(self.made[look])

    def remove(self) -> None:
        for image, name in self.named:
            image.filepath_raw, image.name = "", name
        bpy.data.batch_remove([*self.made.values(), *self.images])

    def _material(self, look: str, part: bpy.types.Object) -> bpy.types.Material:
        surface, material = SURFACES[look], new_material("export")
        white = not surface.colour or (self.glass and surface.transmission)
        plain = (*((1.0, 1.0, 1.0) if white else surface.colour), surface.opacity)
        if part.active_material is not None and not surface.colour:
            plain = tuple(part.active_material.diffuse_color)
        material.name = look
        tree = material.node_tree
        nodes = tree.nodes
        shader = nodes["Surface"].inputs
        shader["Base Color"].default_value = (*plain[:3], 1.0)
        shader["Roughness"].default_value, shader["Alpha"].default_value = surface.roughness, plain[3]
        shader["Specular IOR Level"].default_value = surface.specular
        shader["Transmission Weight"].default_value, shader["IOR"].default_value = surface.transmission, surface.ior
        shader["Coat Weight"].default_value, shader["Coat Roughness"].default_value = surface.coat, COAT_ROUGHNESS
        head = self.parts[0]
        pictures = {"Colour": None, "Roughness": None, "Normals": None}
        if look == HAIR:
            atlas = card_atlas()
            strands = materials.packed_image("hair_strands", png_bytes(atlas.strands))
            relief = materials.packed_image("hair_relief", png_bytes(atlas.normals))
            relief.colorspace_settings.name = "Non-Color"
            tinted = strands if self.tint else materials.tinted(f"{self.name}_{strands.name}", strands, part.data)
            pictures |= {"Colour": tinted, "Normals": relief}
            self.images += {strands, relief, tinted}
        elif surface.picture is not None:
            pictures["Colour"] = self.collection.get(surface.picture)
        tone = materials.tone_of(head) if look == "skin" and pictures["Colour"] is not None else None
        if tone is not None:
            pictures["Colour"] = self._image("albedo", toned(pictures["Colour"], self.parts, tone), "sRGB")
        if look == "skin":
            pictures["Roughness"] = self._image("roughness", roughness_map(self.parts, ROUGHNESS_SIDE))
            heights = relief_heights(head)
            pictures["Normals"] = None if heights is None else self._image("normal", normal_map(self.parts, heights))
        for name, image in pictures.items():
            nodes[name].image = image
            if image is None:
                nodes.remove(nodes[name])
            elif not image.filepath_raw and image.library is None:  # FBX knows pictures by their paths alone
                self.named.append((image, image.name))  # USD writes them by their names, and refers to their paths
                image.name = f"{self.name}_{image.name.removeprefix(self.name + '_')}"
                image.filepath_raw = f"//{image.name}.png"
        if pictures["Normals"] is None:
            nodes.remove(nodes["Normal Map"])
        if not surface.see_through:
            for link in list(shader["Alpha"].links):
                tree.links.remove(link)
        if look == HAIR and self.tint:
            mixed = add_nodes(tree, "export_tint")
            mixed["Tint"].layer_name = CARD_COLOUR
            colour = next(socket for socket in mixed["Tinted"].outputs if socket.enabled)
            tree.links.new(colour, shader["Base Color"])
            tree.links.new(mixed["Cut"].outputs[0], shader["Alpha"])
        material.use_backface_culling = not surface.see_through and plain[3] == 1.0  # glTF's one-sided
        return material

    def _image(self, kind: str, pixels: np.ndarray, space: str = "Non-Color") -> bpy.types.Image:
        """A packed 8-bit image of pixels (S, S, 3), row 0 at v = 0; ``remove`` deletes it."""
        side = len(pixels)
        image = bpy.data.images.new(f"{self.name}_{kind}", side, side)
        image.colorspace_settings.name = space
        materials.pack_pixels(image, np.dstack([pixels, np.ones((side, side), np.float32)]))
        self.images.append(image)
        return image


def _triangles(mesh: bpy.types.Mesh) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (T, 3) and UVs of map ``Head`` (T, 3, 2) of a mesh's triangles; no triangles without that map."""
    layer = mesh.uv_layers.get(UV_HEAD)
    if layer is None:
        return np.empty((0, 3), np.int32), np.empty((0, 3, 2), np.float32)
    mesh.calc_loop_triangles()
    loops, corners = (array_of(mesh.loop_triangles, name, 3) for name in ("loops", "vertices"))
    return corners, array_of(layer.uv, "vector", 2, np.float32)[loops]


def roughness_map(parts: Sequence[bpy.types.Object], side: int) -> np.ndarray:
    """(S, S, 3) roughness in map ``Head``: the skin's by vertex, that of teeth, tongue and eyeballs by surface."""

    def roughness(part: bpy.types.Object) -> np.ndarray:
        usual = SURFACES[materials.LOOKS[part[tags.PART]]].roughness
        return attribute_or(np.full(len(part.data.vertices), usual, np.float32), part.data, SKIN_ROUGHNESS)

    picture = np.full((side * side, 1), SURFACES["skin"].roughness, np.float32)
    return np.repeat(_by_vertex(picture, parts, ("skin", "eyes", "teeth", "tongue"), roughness), 3, axis=2)


def toned(albedo: bpy.types.Image, parts: Sequence[bpy.types.Object], tone: np.ndarray) -> np.ndarray:
    """(S, S, 3) display values of an albedo whose skin is multiplied by ``tone`` (3,); other parts in it stay."""
    nowhere = np.zeros((albedo.size[0] ** 2, 1), np.float32)
    share = _by_vertex(nowhere, parts, ("skin",), lambda part: materials.toned_share(part.data))
    multiplied = materials.linear(materials.picture_pixels(albedo)) * (1.0 + share * (tone - 1.0))
    return materials.srgb(multiplied).astype(np.float32)


def _by_vertex(
    picture: np.ndarray,
    parts: Sequence[bpy.types.Object],
    looks: Sequence[str],
    values_of: Callable[[bpy.types.Object], np.ndarray],
) -> np.ndarray:
    """(S, S, 1) a picture (S², 1) in map ``Head`` with the values (V,) of the parts that have these looks."""
    side, texels = int(len(picture) ** 0.5), np.empty(0, np.int64)
    for part in (obj for obj in parts if materials.LOOKS.get(obj.get(tags.PART)) in looks):
        corners, uv = _triangles(part.data)
        covered, means = covered_texels(uv, values_of(part)[corners][..., None], side)
        picture[covered], texels = means, np.append(texels, covered)
    grow(picture, side, texels, texels, GUTTER)
    return picture.reshape(side, side, 1)


def relief_heights(head: bpy.types.Object) -> np.ndarray | None:
    """(S, S) metres of the relief at rest in map ``Head``, row 0 at v = 0, times its strength; None without one."""
    image = materials.relief_at_rest(head)
    if image is None:
        return None
    strength = materials.strength_socket(materials.skin_material(head), materials.ALWAYS)
    scale = 0.001 * 2.0 * image[tags.REACH] * (1.0 if strength is None else strength.default_value)
    return (materials.picture_pixels(image)[..., 0] - 0.5) * scale


def normal_map(parts: Sequence[bpy.types.Object], heights: np.ndarray) -> np.ndarray:
    """(S, S, 3) tangent-space normals, encoded 0-1, of ``heights`` (S, S) metres over the skin in map ``Head``.

    A slope is the height's change per texel over the metres that the texel covers along u and along v.
    """
    side = len(heights)
    metres = np.full((side * side, 2), np.nan, np.float32)  # a unit of u and of v on the skin
    for part in (obj for obj in parts if materials.LOOKS.get(obj.get(tags.PART)) == "skin"):
        corners, uv = _triangles(part.data)
        across = coordinates(part.data.vertices)[corners].astype(np.float64)
        across, steps = across[:, 1:] - across[:, :1], (uv[:, 1:] - uv[:, :1]).astype(np.float64)
        flat = np.abs(np.linalg.det(steps)) < 1e-14
        steps[flat] = np.eye(2)
        scale = np.linalg.norm(np.linalg.inv(steps) @ across, axis=2)  # (T, 2): |dP/du|, |dP/dv|
        values = np.repeat(scale[~flat, None], 3, axis=1).astype(np.float32)
        texels, means = covered_texels(uv[~flat], values, side)
        metres[texels] = means
    metres = np.where(np.isnan(metres), np.float32(np.inf), metres).reshape(side, side, 2)
    rise_v, rise_u = np.gradient(heights, 1.0 / side)
    normals = np.dstack([-rise_u / metres[..., 0], -rise_v / metres[..., 1], np.ones_like(heights)])
    normals /= np.linalg.norm(normals, axis=2, keepdims=True)
    return (0.5 + 0.5 * normals).astype(np.float32)
