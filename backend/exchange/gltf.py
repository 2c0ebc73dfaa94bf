"""Write a ``FaceAsset`` as one binary glTF 2.0 file: named nodes, morph targets, both UV maps, tangents, and roughness
as a texture (docs/files.md).
"""

import io
import math
import struct
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pygltflib as gl
from PIL import Image
from scipy.spatial import cKDTree

from backend import __version__
from backend.exchange import asset_mesh
from backend.exchange.buffers import png_bytes
from backend.exchange.face_asset import FaceAsset, FacePart
from backend.exchange.files import normal_picture
from backend.geometry.template import triangles_from_quads, triangulate
from backend.geometry.vectors import summed, vertex_normals
from backend.hair.draw import hair_cards
from backend.hair.hair_strands import FACIAL_GUIDES
from backend.rendering.rasterize import gutter_source
from backend.texture.surface import UvChart, build_atlases
from protocol.hair_cards import ALPHA_CUTOFF, SMALLEST_CARD_OFFSET_M, HairCards, card_atlas, card_roots
from protocol.message import CARD_LEVELS
from protocol.names import ARKIT_NAMES


def vertex_tangents(positions: np.ndarray, normals: np.ndarray, uv: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """(V, 4) float32 in glTF's convention: unit tangent towards increasing u, and the sign w for which
    w * (normal x tangent) points towards increasing v.

    Parameters
    ----------
    positions, normals : (V, 3), unit normals. uv : (V, 2), v up. triangles : (T, 3), vertices split at seams. Where the
        map has no area, the tangent is an arbitrary perpendicular to the normal.
    """
    corners, places = positions[triangles].astype(np.float64), uv[triangles].astype(np.float64)
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    one, two = places[:, 1] - places[:, 0], places[:, 2] - places[:, 0]
    area = one[:, 0] * two[:, 1] - one[:, 1] * two[:, 0]
    sign = np.sign(area)[:, None]  # not divided by area, so that larger faces weigh more
    by_u = (first * two[:, 1:] - second * one[:, 1:]) * sign
    by_v = (second * one[:, :1] - first * two[:, :1]) * sign
    along, up = (summed(values, triangles, len(positions)) for values in (by_u, by_v))
    normal = normals.astype(np.float64)
    along -= (along * normal).sum(-1, keepdims=True) * normal
    length = np.linalg.norm(along, axis=-1, keepdims=True)
    lost = length[:, 0] < 1e-12 * max(float(length.max(initial=0.0)), 1e-12)
    aside = np.eye(3)[np.abs(normal).argmin(axis=1)]
    along[lost] = np.cross(normal, aside)[lost]
    along /= np.linalg.norm(along, axis=-1, keepdims=True)
    turned = (np.cross(normal, along) * up).sum(-1) < 0
    return np.concatenate([along, np.where(turned, -1.0, 1.0)[:, None]], axis=1).astype(np.float32)


SIZE = 256
"""Texels a side, 3 mm each on the face; the cage's vertices, which carry the roughness, are 4 mm apart."""


def roughness_picture(asset: FaceAsset) -> np.ndarray | None:
    """(256, 256, 3) uint8 metallic-roughness texture of glTF in map ``Head``: green is the roughness of head and bust,
    red the occlusion (``shade_below_chin``), blue (metal) 0; row 0 is v = 1. None if the asset has no roughness."""
    rough = asset.skin_roughness
    if rough is None:
        return None
    head = asset.parts[0]
    lit = asset_mesh.shade_below_chin(asset)
    values = [np.column_stack([rough, lit.get(head.name, np.ones_like(rough))])]
    charts = [_chart(head)]
    if asset.bust is not None:  # as rough as the neck's rim, at the head's lowest vertex
        at_rim = np.full(len(asset.bust.vertices), rough[head.vertices[:, 1].argmin()])
        values.append(np.column_stack([at_rim, lit.get(asset.bust.name, np.ones_like(at_rim))]))
        charts.append(_chart(asset.bust))
    fields, covered = np.zeros((SIZE * SIZE, 2), np.float32), np.zeros(SIZE * SIZE, bool)
    for atlas, own in zip(build_atlases(charts, SIZE), values, strict=True):
        fields[atlas.texel] = atlas.sample(own)
        covered[atlas.texel] = True
    fields = fields[gutter_source(covered.reshape(SIZE, SIZE)).ravel()].clip(0.0, 1.0)
    picture = np.zeros((SIZE, SIZE, 3), np.uint8)
    picture[..., 1::-1] = np.rint(255 * fields.reshape(SIZE, SIZE, 2))
    return picture


def _chart(part: FacePart) -> UvChart:
    split = triangulate(part.quads)
    return UvChart(part.uv, split.apply(part.uv_quads), split.faces)


ROOT_NODE = "Likeness"
"""Name of the node above all parts."""

CARD_SPECULAR = 0.4
"""Specular reflection of hair cards relative to glTF's 4 %, because colours from photos contain highlights."""
SMALLEST_OFFSET_M = 1e-6
"""Metres: shorter morph offsets (a thousandth of a millimetre) are left out."""

SMALLEST_NORMAL_OFFSET = 2e-3
"""Shorter morph offsets of normals (about a tenth of a degree) are left out."""

_NORMAL, _ROUGHNESS = "skin_normal", "skin_roughness"
_NORMAL_QUALITY = 92
"""JPEG quality of the normal map; a PNG of pores is three times as large."""
_EYES_QUALITY = 95  # JPEG quality of the eyes' image


def write_glb(asset: FaceAsset, path: Path) -> None:
    """Write ``face.glb``. Raises ``OSError`` if the file cannot be written."""
    Path(path).write_bytes(glb_bytes(asset))


def glb_bytes(asset: FaceAsset) -> bytes:
    """Encode a binary glTF file; deterministic for the same asset.

    Units are metres, y up, the face looks along +z. One root node holds a node per part. Each mesh has exactly the
    morph targets of ``FacePart.keys`` in ARKit's order, named in ``mesh.extras.targetNames``, with weight 0. TEXCOORD_0
    is map ``Head``, for the eyeballs map ``Eye``, for the lashes that of their picture; TEXCOORD_1 is map
    ``MakeHuman``; v points down, as in glTF. Hair cards are a node ``hair`` with their own image, UV map and colours.
    """
    writer = _GltfWriter()
    writer.add_texture(asset_mesh.ALBEDO, asset.albedo, quality=95)
    if asset.detail is not None:
        writer.add_texture(_NORMAL, normal_picture(asset.detail, asset.parts[0]), quality=_NORMAL_QUALITY)
    roughness = roughness_picture(asset)
    if roughness is not None:
        writer.add_texture(_ROUGHNESS, roughness, quality=None)
    places = asset_mesh.lash_positions(asset)
    if places is not None:
        writer.add_texture(asset_mesh.LASHES, asset_mesh.lash_picture(), quality=None)
    if asset.eyes is not None and asset.eyes.picture is not None:
        writer.add_texture(asset_mesh.EYES, asset.eyes.picture, quality=_EYES_QUALITY)
    parts = []
    for part in asset.dressed_parts():
        material = asset_mesh.part_material(asset, part.name)
        if part.name == "lashes" and places is not None:
            part, material = replace(part, uv=places, uv_quads=part.quads), asset_mesh.SINGLE_LASHES
        parts.append(writer.add_part(part, material))
    if asset.hair_cards is not None:
        lower = [] if asset.hair_strands is None else [hair_cards(asset.hair_strands, most) for most in CARD_LEVELS[1:]]
        bearded = asset.hair_strands is not None and FACIAL_GUIDES in asset.hair_strands.parameters
        parts.append(writer.add_cards((asset.hair_cards, *lower), asset.parts[0] if bearded else None))
    return writer.finish(parts)


class _GltfWriter:
    """Collects glTF objects and their binary chunk."""

    def __init__(self) -> None:
        self.gltf = gl.GLTF2(asset=gl.Asset(version="2.0", generator=f"Likeness {__version__}"))
        self.blob = bytearray()
        self.material_of: dict[asset_mesh.PartMaterial, int] = {}
        self.textures: dict[str, int] = {}

    def finish(self, part_nodes: list[int]) -> bytes:
        root = gl.Node(name=ROOT_NODE, children=part_nodes)
        self.gltf.nodes.append(root)
        self.gltf.scenes = [gl.Scene(name=ROOT_NODE, nodes=[len(self.gltf.nodes) - 1])]
        self.gltf.scene = 0
        self.gltf.buffers = [gl.Buffer(byteLength=len(self.blob))]
        scene = msgspec.json.encode(_filled(self.gltf))
        scene += -len(scene) % 4 * b" "
        self.blob += -len(self.blob) % 4 * b"\0"
        head = struct.pack("<4sIII4s", b"glTF", 2, 28 + len(scene) + len(self.blob), len(scene), b"JSON")
        return b"".join((head, scene, struct.pack("<I4s", len(self.blob), b"BIN\0"), self.blob))

    def add_texture(self, name: str, pixels: np.ndarray, quality: int | None) -> int:
        """Add (S, S, 3 or 4) uint8 as a JPEG, or as a PNG if ``quality`` is None; returns the texture's index. The
        albedo is added first."""
        if quality is None:
            kind, data = "image/png", png_bytes(pixels)
        else:
            encoded = io.BytesIO()
            Image.fromarray(pixels).save(encoded, "JPEG", quality=quality, subsampling=0)
            kind, data = "image/jpeg", encoded.getvalue()
        self.gltf.images.append(gl.Image(name=name, mimeType=kind, bufferView=self._buffer_view(data)))
        if not self.gltf.samplers:
            self.gltf.samplers.append(
                gl.Sampler(magFilter=gl.LINEAR, minFilter=gl.LINEAR_MIPMAP_LINEAR, wrapS=gl.REPEAT, wrapT=gl.REPEAT)
            )
        self.textures[name] = len(self.gltf.textures)
        self.gltf.textures.append(gl.Texture(name=name, source=len(self.gltf.images) - 1, sampler=0))
        return self.textures[name]

    def add_part(self, part: FacePart, material: asset_mesh.PartMaterial) -> int:
        """Add a mesh and its node; returns the node's index."""
        mesh = asset_mesh.split_at_seams(part)
        names = [name for name in ARKIT_NAMES if name in part.keys]
        faces = triangles_from_quads(part.quads)
        neutral_normals = _unit_normals(part.vertices, faces)
        attributes = gl.Attributes(
            POSITION=self._vertex_accessor(part.vertices[mesh.source], gl.VEC3, bounds=True),
            NORMAL=self._vertex_accessor(neutral_normals[mesh.source], gl.VEC3),
            TEXCOORD_0=self._vertex_accessor(_v_down(mesh.uv), gl.VEC2),
            TEXCOORD_1=self._vertex_accessor(_v_down(mesh.uv_makehuman), gl.VEC2),
        )
        if material == asset_mesh.SKIN and _NORMAL in self.textures:
            tangents = vertex_tangents(
                part.vertices[mesh.source], neutral_normals[mesh.source], mesh.uv, mesh.triangles
            )
            attributes.TANGENT = self._vertex_accessor(tangents, gl.VEC4)
        targets = []
        for key in (part.keys[name] for name in names):
            turned = _unit_normals(part.vertices + key, faces) - neutral_normals
            position = self._offset_accessor(key[mesh.source], SMALLEST_OFFSET_M, bounds=True)
            normal = self._offset_accessor(turned[mesh.source], SMALLEST_NORMAL_OFFSET)
            targets.append(gl.Attributes(POSITION=position, NORMAL=normal))
        primitive = gl.Primitive(
            attributes=attributes,
            indices=self._index_accessor(mesh.triangles),
            material=self._material(
                material, see_through=material.opacity < 1.0 or material == asset_mesh.SINGLE_LASHES
            ),
            targets=targets or None,
        )
        self.gltf.meshes.append(
            gl.Mesh(
                name=part.name,
                primitives=[primitive],
                weights=[0.0] * len(names) or None,
                extras={"targetNames": names} if names else {},
            )
        )
        self.gltf.nodes.append(gl.Node(name=part.name, mesh=len(self.gltf.meshes) - 1))
        return len(self.gltf.nodes) - 1

    def add_cards(self, levels: Sequence[HairCards], skin: FacePart | None = None) -> int:
        """Add hair cards and their node; returns the node's index. Levels of detail below the first are nodes beside
        the scene that ``MSFT_lod`` names. The strand map is a texture that the material's ``extras`` name. With
        ``skin``, each card moves with its keys where it stands."""
        atlas = card_atlas()
        picture = self.add_texture("hair", atlas.strands, quality=None)
        relief = self.add_texture("hair_normal", atlas.normals, quality=None)
        strand_map = self.add_texture("hair_strand_map", atlas.strand_map, quality=None)
        self.gltf.materials.append(
            gl.Material(
                name="hair",
                extras={"strandMap": strand_map},
                extensions={"KHR_materials_specular": {"specularFactor": CARD_SPECULAR}},
                doubleSided=True,
                alphaMode=gl.MASK,
                alphaCutoff=ALPHA_CUTOFF,
                normalTexture=gl.NormalMaterialTexture(index=relief, texCoord=0),
                pbrMetallicRoughness=gl.PbrMetallicRoughness(
                    baseColorTexture=gl.TextureInfo(index=picture, texCoord=0), metallicFactor=0.0, roughnessFactor=0.7
                ),
            )
        )
        self.gltf.extensionsUsed = ["KHR_materials_specular", *(self.gltf.extensionsUsed or [])]
        first = len(self.gltf.nodes)
        for level, cards in enumerate(levels):
            self._add_card_mesh(cards, f"hair_lod{level}" if level else "hair", skin)
        if len(levels) > 1:
            self.gltf.nodes[first].extensions = {"MSFT_lod": {"ids": list(range(first + 1, len(self.gltf.nodes)))}}
            self.gltf.extensionsUsed.append("MSFT_lod")
        return first

    def _add_card_mesh(self, cards: HairCards, name: str, skin: FacePart | None) -> None:
        """Add a node with cards in the last material."""
        attributes = gl.Attributes(
            POSITION=self._vertex_accessor(cards.vertices, gl.VEC3, bounds=True),
            NORMAL=self._vertex_accessor(cards.normals, gl.VEC3),
            TANGENT=self._vertex_accessor(
                vertex_tangents(cards.vertices, cards.normals, cards.uv, cards.triangles), gl.VEC4
            ),
            TEXCOORD_0=self._vertex_accessor(_v_down(cards.uv), gl.VEC2),
            COLOR_0=self._vertex_accessor(cards.colours, gl.VEC3),
        )
        primitive = gl.Primitive(
            attributes=attributes, indices=self._index_accessor(cards.triangles), material=len(self.gltf.materials) - 1
        )
        mesh = gl.Mesh(name=name, primitives=[primitive])
        if skin is not None:
            near = cKDTree(skin.vertices).query(card_roots(cards))[1]
            moves = {key: skin.keys[key][near] for key in ARKIT_NAMES}
            names = [key for key, move in moves.items() if np.abs(move).max() > SMALLEST_CARD_OFFSET_M]
            primitive.targets = [
                gl.Attributes(POSITION=self._offset_accessor(moves[key], SMALLEST_CARD_OFFSET_M, bounds=True))
                for key in names
            ]
            mesh.weights, mesh.extras = [0.0] * len(names), {"targetNames": names}
        self.gltf.meshes.append(mesh)
        self.gltf.nodes.append(gl.Node(name=name, mesh=len(self.gltf.meshes) - 1))

    def _material(self, look: asset_mesh.PartMaterial, see_through: bool) -> int:
        if look not in self.material_of:
            self.material_of[look] = len(self.gltf.materials)
            texture = self.textures.get(look.picture)
            normal, roughness = (self.textures.get(name) for name in (_NORMAL, _ROUGHNESS))
            if look != asset_mesh.SKIN:
                normal = roughness = None
            self.gltf.materials.append(
                gl.Material(
                    name=look.name,
                    doubleSided=see_through,
                    alphaMode=gl.BLEND if see_through else gl.OPAQUE,
                    alphaCutoff=None,
                    normalTexture=None if normal is None else gl.NormalMaterialTexture(index=normal, texCoord=0),
                    occlusionTexture=None
                    if roughness is None
                    else gl.OcclusionTextureInfo(index=roughness, texCoord=0),
                    pbrMetallicRoughness=gl.PbrMetallicRoughness(
                        baseColorTexture=None if texture is None else gl.TextureInfo(index=texture, texCoord=0),
                        baseColorFactor=[*look.colour, look.opacity],
                        metallicFactor=0.0,
                        metallicRoughnessTexture=None
                        if roughness is None
                        else gl.TextureInfo(index=roughness, texCoord=0),
                        roughnessFactor=look.roughness if roughness is None else 1.0,  # factor on the texture
                    ),
                )
            )
        return self.material_of[look]

    def _index_accessor(self, triangles: np.ndarray) -> int:
        small = triangles.max(initial=0) < 65535
        data = np.ascontiguousarray(triangles.ravel(), "<u2" if small else "<u4")
        return self._accessor(
            bufferView=self._buffer_view(data.tobytes(), gl.ELEMENT_ARRAY_BUFFER),
            componentType=gl.UNSIGNED_SHORT if small else gl.UNSIGNED_INT,
            count=data.size,
            type=gl.SCALAR,
        )

    def _vertex_accessor(self, values: np.ndarray, kind: str, bounds: bool = False) -> int:
        data = np.ascontiguousarray(values, "<f4")
        return self._accessor(
            bufferView=self._buffer_view(data.tobytes(), gl.ARRAY_BUFFER),
            componentType=gl.FLOAT,
            count=len(data),
            type=kind,
            **(_bounds(data) if bounds else {}),
        )

    def _offset_accessor(self, offsets: np.ndarray, smallest: float, bounds: bool = False) -> int:
        """A morph target's accessor (N, 3): sparse if that is smaller than the dense array."""
        moved = np.flatnonzero(np.linalg.norm(offsets, axis=-1) >= smallest)
        data = np.zeros((len(offsets), 3), "<f4")
        data[moved] = offsets[moved]
        index_type, index_code = ("<u2", gl.UNSIGNED_SHORT) if len(data) < 65535 else ("<u4", gl.UNSIGNED_INT)
        sparse_bytes = len(moved) * (12 + np.dtype(index_type).itemsize)
        if sparse_bytes >= data.nbytes:
            return self._vertex_accessor(data, gl.VEC3, bounds)
        if len(moved) == 0:  # glTF requires at least one entry
            moved = np.zeros(1, int)
        sparse = gl.Sparse(
            count=len(moved),
            indices=gl.AccessorSparseIndices(
                bufferView=self._buffer_view(moved.astype(index_type).tobytes()), componentType=index_code
            ),
            values=gl.AccessorSparseValues(bufferView=self._buffer_view(data[moved].tobytes())),
        )
        return self._accessor(
            componentType=gl.FLOAT, count=len(data), type=gl.VEC3, sparse=sparse, **(_bounds(data) if bounds else {})
        )

    def _accessor(self, **fields: object) -> int:
        fields.setdefault("byteOffset", 0 if "bufferView" in fields else None)
        self.gltf.accessors.append(gl.Accessor(**fields))
        return len(self.gltf.accessors) - 1

    def _buffer_view(self, data: bytes, target: int | None = None) -> int:
        self.blob.extend(b"\0" * (-len(self.blob) % 4))
        self.gltf.bufferViews.append(
            gl.BufferView(buffer=0, byteOffset=len(self.blob), byteLength=len(data), target=target)
        )
        self.blob.extend(data)
        return len(self.gltf.bufferViews) - 1


def _filled(value: Any) -> Any:
    """A glTF object in JSON's types, without what is empty; pygltflib copies each number, which takes half a second.
    Raises ``ValueError`` for a number that JSON does not have."""
    if isinstance(value, list):
        return [_filled(one) for one in value]
    fields = value if isinstance(value, dict) else getattr(value, "__dict__", None)
    if fields is None:
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{value} cannot be written")
        return value
    return {name: _filled(one) for name, one in fields.items() if name[0] != "_" and one not in (None, "", [], {})}


def _v_down(uv: np.ndarray) -> np.ndarray:
    return np.stack([uv[:, 0], 1.0 - uv[:, 1]], axis=-1)


def _unit_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Unit vertex normals (V, 3) float32; +z for a vertex without surrounding area."""
    normals = vertex_normals(vertices.astype(np.float64), faces)
    normals[np.linalg.norm(normals, axis=-1) < 0.5] = [0.0, 0.0, 1.0]
    return normals.astype(np.float32)


def _bounds(data: np.ndarray) -> dict[str, list[float]]:
    return {"min": data.min(axis=0).tolist(), "max": data.max(axis=0).tolist()}
