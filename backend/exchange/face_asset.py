"""``FaceAsset``: everything that is exported, independent of any file format."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from backend.detail.skin_detail import SkinDetail
from backend.hair.hair_strands import HairStrands
from backend.rendering.camera import Camera
from protocol.hair_cards import HairCards


@dataclass(frozen=True)
class FacePart:
    """One mesh object of the face.

    Attributes
    ----------
    name : one of ``PART_NAMES``, ``EYE_PART_NAMES`` or ``GLASSES``, or ``BUST``.
    vertices : (V, 3) float32 neutral, head frame, metres.
    quads : (F, 4) int32 vertex ids, counter-clockwise from outside; a triangle repeats its last vertex.
    uv : (T, 2) float32 texture coordinates of map ``Head``, v up.
    uv_quads : (F, 4) int32 into ``uv``, corner by corner with ``quads``.
    uv_makehuman, uv_makehuman_quads : the same for map ``MakeHuman`` (the original atlas).
    hm08_vertex : (V,) int32 vertex ids in MakeHuman's whole base mesh.
    keys : ARKit name -> (V, 3) float32 offsets at weight 1, only keys that move this part; all 52 on ``head``.
    """

    name: str
    vertices: np.ndarray
    quads: np.ndarray
    uv: np.ndarray
    uv_quads: np.ndarray
    uv_makehuman: np.ndarray
    uv_makehuman_quads: np.ndarray
    hm08_vertex: np.ndarray
    keys: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class AssetPhoto:
    """A used photo's camera (in pixels of the whole file after EXIF rotation), expression and error figures.

    landmarks : (478, 4) float32 in the same pixels: x and y of each landmark as detected, and as projected from the
    head; None where unknown. head_points : (11, 3) float32: x and y, in these pixels, of each of
    ``geometry.head_points``, and 1 if visible, 0 if hidden, -1 if not examined; None if unknown.
    """

    name: str
    camera: Camera
    expression: np.ndarray  # (52,) in [0, 1]
    landmark_error_percent: float
    photometric_error: float
    landmarks: np.ndarray | None = None
    head_points: np.ndarray | None = None


@dataclass(frozen=True)
class EyeDressing:
    """Image, UVs and extra surfaces of the eyes, for close-ups.

    Attributes
    ----------
    picture : (S, 2 S, 3) uint8 sRGB of both eyes, row 0 is v = 1 of map ``Eye``; None for geometry only.
    uv : name of an eyeball -> (V, 2) float32 map ``Eye`` of its vertices, v up.
    parts : corneas, tear lines and caruncles, in the order of ``EYE_PART_NAMES``; the texture maps do not cover them.
    """

    picture: np.ndarray | None
    uv: Mapping[str, np.ndarray]
    parts: tuple[FacePart, ...]


@dataclass(frozen=True)
class WornGlasses:
    """Glasses, which no key moves.

    Attributes
    ----------
    parts : frame and lenses, in the order of ``GLASSES``; the texture maps do not cover them.
    frame_colour, lens_colour : (3,) linear. lens_opacity : in [0, 1].
    """

    parts: tuple[FacePart, ...]
    frame_colour: tuple[float, ...]
    lens_colour: tuple[float, ...]
    lens_opacity: float


@dataclass(frozen=True)
class FaceAsset:
    """A rigged, textured head.

    Attributes
    ----------
    parts : in the order of ``PART_NAMES``; the first is the head.
    albedo : (R, R, 3) uint8 sRGB, row 0 is the top (v = 1) of UV map ``Head``; contains every part's texture. None for
        geometry only, which is sent only over the wire.
    photos : used photos.
    report : JSON-ready provenance: per-photo verdicts, seconds per stage, versions.
    hair_strands : the scalp hair, None if none was found or wanted.
    hair_cards : the same as a mesh, None unless cards are wanted.
    detail : relief of the skin, None if the photos do not resolve it or it is not wanted.
    eyes : image, cornea and other surfaces of the eyes; None for an asset without them.
    mouth_inside : (V,) float32 in [0, 1] of the head's vertices, 1 behind the lips; None if unknown.
    skin_roughness : (V,) float32 in [0, 1] of the head's vertices; None if unknown.
    bust : neck and shoulders, in map ``Head`` like the head; None if not wanted.
    glasses : None if the person wears none or they are not wanted.
    """

    parts: tuple[FacePart, ...]
    albedo: np.ndarray | None
    photos: tuple[AssetPhoto, ...]
    report: Mapping[str, object]
    hair_strands: HairStrands | None = None
    hair_cards: HairCards | None = None
    detail: SkinDetail | None = None
    eyes: EyeDressing | None = None
    mouth_inside: np.ndarray | None = None
    skin_roughness: np.ndarray | None = None
    bust: FacePart | None = None
    glasses: WornGlasses | None = None

    def dressed_parts(self) -> tuple[FacePart, ...]:
        """All parts as written to files: eyeballs have the UVs of map ``Eye``, and corneas, tear lines, caruncles,
        the bust and glasses, if any, come last."""
        bust = () if self.bust is None else (self.bust,)
        bust += () if self.glasses is None else self.glasses.parts
        if self.eyes is None:
            return (*self.parts, *bust)
        eyes = self.eyes.uv
        base = (replace(p, uv=eyes[p.name], uv_quads=p.quads) if p.name in eyes else p for p in self.parts)
        return (*base, *self.eyes.parts, *bust)

    def part(self, name: str) -> FacePart:
        """The part called ``name``; raises ``KeyError`` if there is none."""
        for part in self.parts:
            if part.name == name:
                return part
        raise KeyError(name)
