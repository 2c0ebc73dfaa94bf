"""Encode a ``FaceAsset`` as a message: a JSON header, then raw buffers (docs/protocol.md, *result*)."""

import math
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from backend.detail.find import DetailEstimate
from backend.detail.skin_detail import KEY_GROUPS, MIDDLE, SkinDetail
from backend.exchange.asset_mesh import lash_alpha, lash_picture, lash_positions
from backend.exchange.buffers import BufferList, WireMessage
from backend.exchange.face_asset import AssetPhoto, EyeDressing, FaceAsset, FacePart
from backend.exchange.files import camera_entry, plain_json
from backend.geometry.template import load_template
from backend.hair.groom.dress import dressed
from backend.hair.hair_strands import HairStrands
from protocol import message
from protocol.names import ARKIT_NAMES

PACKED = 3
"""Wrinkle maps per image, in its red, green and blue channels."""
Entry = dict[str, Any]
"""A JSON object of the header; arrays and pictures are names of buffers."""


@dataclass(frozen=True)
class PackedRelief:
    """The relief's entry in the header, and its buffers."""

    entry: Entry
    buffers: BufferList


def pack_relief(detail: DetailEstimate) -> PackedRelief | None:
    """The stage that packs the relief as soon as it is there; None without one."""
    return None if detail.detail is None else _pack_relief(detail.detail)


def encode_face(
    asset: FaceAsset, packed: PackedRelief | None = None, portrait: np.ndarray | None = None, only: str = ""
) -> WireMessage:
    """Encode a ``FaceAsset`` as a message (without ``type`` and the fields that identify the job). ``packed`` : its
    relief, where that was packed before. ``portrait`` : (H, W, 3) uint8 picture of it. ``only`` : what alone is new,
    one of ``ONLY``."""
    buffers = BufferList()
    header: Entry = {"version": message.RESULT_VERSION, "arkit_names": ARKIT_NAMES, "report": dict(asset.report)}
    header |= {"only": only} if only else {}
    header["parts"] = [_encode_part(part, buffers, asset) for part in asset.parts]
    header["eyes"] = None if asset.eyes is None else _encode_eyes(asset.eyes, buffers)
    header["bust"] = None if asset.bust is None else _encode_part(asset.bust, buffers)
    header["glasses"] = None
    if asset.glasses is not None:
        header["glasses"] = vars(asset.glasses) | {
            "parts": [_encode_part(part, buffers) for part in asset.glasses.parts]
        }
    header["hair"] = None if asset.hair_strands is None else _encode_hair(asset, asset.hair_strands, buffers)
    header["detail"] = None
    if asset.detail is not None:
        packed = packed or _pack_relief(asset.detail)
        header["detail"] = packed.entry
        buffers.extend(packed.buffers)
    for name, field in message.HEAD.items():
        values = getattr(asset, name)
        header[name] = None if values is None else buffers.add_array(name, values, field.dtype)
    header["photos"] = [_encode_photo(photo, number, buffers) for number, photo in enumerate(asset.photos)]
    header |= {"albedo": None, "portrait": None, "lashes": None}
    if asset.albedo is not None:
        header["albedo"] = buffers.add_picture("albedo", asset.albedo)
        header["lashes"] = _encode_lashes(asset, buffers)
    if portrait is not None:
        header["portrait"] = buffers.add_picture("portrait", portrait)
    return buffers.message(msgspec.to_builtins(header, enc_hook=plain_json))


def _encode_part(part: FacePart, buffers: BufferList, asset: FaceAsset | None = None) -> Entry:
    """Encode one part; ``asset``, if given, supplies the lashes' opacity."""
    names = [name for name in ARKIT_NAMES if name in part.keys]
    keys = np.stack([part.keys[name] for name in names]) if names else np.zeros((0, len(part.vertices), 3))
    alpha = lash_alpha(asset) if asset is not None and part.name == "lashes" else None
    arrays = buffers.add_arrays(part.name, {**vars(part), "keys": keys, "alpha": alpha}, message.PART)
    return {"name": part.name, "key_names": names, **arrays}


def _pack_relief(detail: SkinDetail) -> PackedRelief:
    """Relief as 16-bit images: millimetres = (value / 65536 - 0.5) * 2 * reach; each group of keys has an image channel
    (0 red, 1 green, 2 blue)."""
    buffers = BufferList()
    always = buffers.add_picture("detail.always", detail.always.steps)
    names, wrinkles = list(detail.wrinkles), []
    for first in range(0, len(names), PACKED):
        group = names[first : first + PACKED]
        maps = [detail.wrinkles[name].steps for name in group]
        maps += [np.full_like(maps[0], MIDDLE)] * (PACKED - len(maps))
        picture = f"detail.wrinkles.{first // PACKED}"
        buffers.add_picture(picture, np.stack(maps, -1))
        wrinkles += [
            {"name": name, "keys": KEY_GROUPS[name], "picture": picture, "channel": channel}
            for channel, name in enumerate(group)
        ]
    reaches = {"always_reach": detail.always.reach, "wrinkle_reach": next(iter(detail.wrinkles.values())).reach}
    return PackedRelief({"always": always, "wrinkles": wrinkles, **reaches}, buffers)


def _encode_eyes(eyes: EyeDressing, buffers: BufferList) -> Entry:
    """Images, UVs and surfaces of the eyes; the images are None for a geometry-only job."""
    picture = None if eyes.picture is None else buffers.add_picture("eyes.picture", eyes.picture)
    uv = {
        f"uv_{side}": buffers.add_array(f"eyes.uv_{side}", eyes.uv[f"eye_{side}"], message.FLOATS)
        for side in ("left", "right")
    }
    parts = [_encode_part(part, buffers) for part in eyes.parts]
    return {"picture": picture, "parts": parts, **uv}


def _encode_hair(asset: FaceAsset, found: HairStrands, buffers: BufferList) -> Entry:
    """Guide strands (see ``HairStrands``), and where and how hairs grow between them."""
    head, ears = asset.parts[0], load_template().regions["ears"]
    ears = ears if load_template().head.vertex_stop == len(head.vertices) else np.zeros(len(head.vertices))
    cut = np.zeros(len(head.uv), int)
    cut[head.uv_quads] = head.quads
    hair = dressed(found, head.vertices[cut], head.uv, head.uv_quads, ears[cut])
    numbers, chain = ({key: float(value) for key, value in named.items()} for named in (hair.parameters, hair.chain))
    arrays = buffers.add_arrays("hair", vars(hair), message.HAIR)
    scalp = buffers.add_arrays("hair.scalp", vars(hair.scalp), message.SCALP)
    own = {"hair_radius": float(hair.hair_radius), "style": hair.style, "parameters": numbers, "chain": chain}
    return {**own, "scalp": scalp, **arrays}


def _encode_lashes(asset: FaceAsset, buffers: BufferList) -> Entry | None:
    """Single lashes; None if the lashes are not strips."""
    places = lash_positions(asset)
    if places is None:
        return None
    picture = buffers.add_picture("lashes.picture", lash_picture())
    return {"picture": picture, "places": buffers.add_array("lashes.places", places, message.FLOATS)}


def _encode_photo(photo: AssetPhoto, number: int, buffers: BufferList) -> Entry:
    """One used photo, in pixels of the whole file after EXIF rotation."""
    return {
        **camera_entry(photo),
        "expression": [round(float(weight), 5) for weight in photo.expression],
        "landmark_error_percent": _finite(photo.landmark_error_percent),
        "photometric_error": _finite(photo.photometric_error),
        **buffers.add_arrays(f"photo.{number}", vars(photo), message.PHOTO),
    }


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
