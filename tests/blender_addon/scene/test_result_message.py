"""Result and preview messages: what is good is taken apart, everything else is refused with a sentence."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from blender_addon.shared.names import ARKIT_NAMES, EYE_PART_NAMES, PART_NAMES
from head_message import GUIDES, HeadMessage

from blender_addon.errors import AddonError
from blender_addon.protocol.buffers import decode_preview
from blender_addon.protocol.result import HeadResult, decode_result
from protocol.message import LENGTHS

Change = Callable[[dict[str, Any], list[bytes]], None]


def test_a_result_arrives_whole(result: HeadResult) -> None:
    assert tuple(part.name for part in result.parts) == (*PART_NAMES, *EYE_PART_NAMES)
    assert len(ARKIT_NAMES) == 52 == len(result.head.key_names)
    assert result.head.vertices.shape == (4200, 3) and result.head.keys.shape == (52, 4200, 3)
    assert not result.head.vertices.flags.writeable
    assert [part.name for part in result.parts if part.alpha is not None] == ["lashes"]
    assert [photo.name for photo in result.photos] == ["portrait.jpg", "landscape äö.jpg", "crop.jpg", "square.jpg"]
    assert result.photos[1].size == (640, 400)
    assert result.photos[2].expression["mouthSmileLeft"] == pytest.approx(0.4)
    hair = result.hair
    assert hair is not None and hair.points.shape == (GUIDES, 16, 3) and hair.root_uv.shape == (GUIDES, 2)
    assert hair.width.shape == (GUIDES,) and hair.root_colour.shape == hair.tip_colour.shape == (GUIDES, 3)
    assert hair.parameters["top"] == pytest.approx(0.36)


def test_limits_of_hair_are_the_backends() -> None:
    strands = pytest.importorskip("backend.hair.hair_strands")
    assert (LENGTHS["G"][1], LENGTHS["P"][1]) == (strands.MOST_GUIDES, strands.MOST_POINTS)


def test_a_result_without_hair_has_none(message: HeadMessage) -> None:
    header, buffers = message.copy()
    header["hair"] = None
    assert decode_result(header, buffers).hair is None


def buffer_number(header: dict[str, Any], name: str) -> int:
    return [entry["name"] for entry in header["buffers"]].index(name)


def with_array(name: str, change: Callable[[np.ndarray], object]) -> Change:
    """A change of one array's numbers."""

    def apply(header: dict[str, Any], buffers: list[bytes]) -> None:
        number = buffer_number(header, name)
        entry = header["buffers"][number]
        array = np.frombuffer(buffers[number], entry["dtype"]).reshape(entry["shape"]).copy()
        change(array)
        buffers[number] = array.tobytes()

    return apply


def with_header(change: Callable[[dict[str, Any]], object]) -> Change:
    return lambda header, buffers: change(header)


def set_item(*path_and_value: Any) -> Change:
    *path, last, value = path_and_value

    def apply(header: dict[str, Any], buffers: list[bytes]) -> None:
        at: Any = header
        for step in path:
            at = at[step]
        at[last] = value

    return apply


def cut(header: dict[str, Any], buffers: list[bytes]) -> None:
    buffers[0] = buffers[0][:-4]


def reshaped(name: str, *shape: int) -> Change:
    """Another shape of an array, with as many numbers as that needs."""

    def apply(header: dict[str, Any], buffers: list[bytes]) -> None:
        number = buffer_number(header, name)
        header["buffers"][number]["shape"] = list(shape)
        size = 4 * int(np.prod(shape))
        buffers[number] = (buffers[number] * (1 + size // len(buffers[number])))[:size]

    return apply


def picture(change: Callable[[bytes], bytes]) -> Change:
    def apply(header: dict[str, Any], buffers: list[bytes]) -> None:
        number = buffer_number(header, "albedo")
        buffers[number] = change(buffers[number])
        header["buffers"][number]["bytes"] = len(buffers[number])

    return apply


CHANGES: dict[str, Change] = {
    "no version": with_header(lambda h: h.pop("version")),
    "no parts": set_item("parts", []),
    "parts in another order": with_header(lambda h: h["parts"].reverse()),
    "a part that is text": set_item("parts", 0, "head"),
    "an unknown part": set_item("parts", 0, "name", "tail"),
    "a buffer cut short": cut,
    "a buffer missing": lambda h, b: b.pop(),
    "a buffer too many": lambda h, b: b.append(b""),
    "a buffer's name twice": set_item("buffers", 1, "name", "head.vertices"),
    "an array as text": set_item("parts", 0, "vertices", 7),
    "an array that is not there": set_item("parts", 0, "vertices", "nobody"),
    "negative shape": set_item("buffers", 0, "shape", [-1, -3]),
    "huge shape": set_item("buffers", 0, "shape", [2**62, 2**62]),
    "another dtype": set_item("buffers", 0, "dtype", "<i4"),
    "flat vertices": set_item("buffers", 0, "shape", [12600]),
    "nan": with_array("head.vertices", lambda a: a.__setitem__((5, 1), np.nan)),
    "infinite": with_array("head.keys", lambda a: a.__setitem__((5, 1, 2), np.inf)),
    "a corner outside": with_array("head.quads", lambda a: a.__setitem__((5, 1), 4200)),
    "a negative corner": with_array("head.quads", lambda a: a.__setitem__((5, 1), -1)),
    "outside of hm08": with_array("head.hm08_vertex", lambda a: a.__setitem__(5, 19158)),
    "alpha over 1": with_array("lashes.alpha", lambda a: a.__setitem__(5, 1.5)),
    "hair that is a list": set_item("hair", []),
    "hair without points": with_header(lambda h: h["hair"].pop("points")),
    "hair of one point": reshaped("hair.points", GUIDES * 16, 1, 3),
    "hair of too many guides": reshaped("hair.points", 7200, 2, 3),
    "hair far away": with_array("hair.points", lambda a: a.__setitem__((5, 1, 0), -11.0)),
    "too few roots": reshaped("hair.root_uv", GUIDES // 2, 4),
    "locks wider than a head": with_array("hair.width", lambda a: a.__setitem__(5, 0.5)),
    "hair without thickness": set_item("hair", "hair_radius", 0.0),
    "a parameter of nan": set_item("hair", "parameters", "top", float("nan")),
    "51 names": with_header(lambda h: h["arkit_names"].pop()),
    "a name twice": set_item("arkit_names", 0, "jawOpen"),
    "a name that is a list": set_item("arkit_names", 0, ["jawOpen"]),
    "the head without a key": with_header(lambda h: h["parts"][0]["key_names"].pop()),
    "a part's unknown key": set_item("parts", 6, "key_names", 0, "wink"),
    "albedo is no name": set_item("albedo", 5),
    "albedo is an array": set_item("albedo", "head.vertices"),
    "albedo is a JPEG": picture(lambda data: b"\xff\xd8" + data[2:]),
    "albedo of another size": picture(lambda data: data[:16] + b"\0\0\1\1" + data[20:]),
    "albedo of no size": picture(lambda data: b""),
    "photos are missing": with_header(lambda h: h.pop("photos")),
    "no eyes": with_header(lambda h: h.pop("eyes")),
    "portrait is no name": with_header(lambda h: h.update(portrait=3)),
    "a mouth without inside": with_header(lambda h: h.pop("mouth_inside")),
    "a photo without landmarks": with_header(lambda h: h["photos"][0].pop("landmarks")),
    "two photos of a name": set_item("photos", 1, "name", "portrait.jpg"),
    "a photo's name with a line break": set_item("photos", 0, "name", "a\nb"),
    "a photo without a name": set_item("photos", 0, "name", ""),
    "a photo of no size": set_item("photos", 0, "width", 0),
    "a camera that looks backwards": set_item("photos", 0, "intrinsics", 0, 0, -500.0),
    "a camera of text": set_item("photos", 0, "intrinsics", [["1", 0, 0]] * 3),
    "a stretched pose": set_item("photos", 0, "camera_from_head", np.diag([2.0, 2, 2, 1]).tolist()),
    "an expression of 51": with_header(lambda h: h["photos"][0]["expression"].pop()),
    "a report that is a list": set_item("report", []),
    "landmarks of nobody": set_item("photos", 0, "landmarks", "head.vertices"),
    "landmarks of 477": reshaped("photo.0.landmarks", 477, 4),
    "ears of another shape": reshaped("photo.0.head_points", 3, 11),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_broken_result_is_refused_with_a_sentence(message: HeadMessage, change: Change) -> None:
    header, buffers = message.copy()
    change(header, buffers)
    with pytest.raises(AddonError) as error:
        decode_result(header, buffers)
    assert error.value.code == "malformed"
    assert error.value.sentence.endswith(".") and "\n" not in error.value.sentence
    assert error.value.advice


def test_a_newer_format_is_refused_as_such(message: HeadMessage) -> None:
    header, buffers = message.copy()
    header["version"] = 2
    with pytest.raises(AddonError) as error:
        decode_result(header, buffers)
    assert error.value.code == "version"


def test_fields_that_a_later_server_adds_are_ignored(message: HeadMessage) -> None:
    header, buffers = message.copy()
    header["more"] = header["parts"][0]["more"] = header["photos"][0]["more"] = {"a": [1]}
    assert len(decode_result(header, buffers).parts) == 11


def test_random_damage_never_ends_in_another_error(message: HeadMessage) -> None:
    values = [None, True, -1, 0, 1.5, 2**70, "", "head", [], [[]], {}, float("inf"), float("nan"), "x" * 300]
    spots = sorted(positions(message.header), key=str)
    rng = random.Random(5)
    refused = 0
    for _ in range(400):
        header = copy.deepcopy(message.header)
        for _ in range(rng.choice([1, 1, 3])):
            at: Any = header
            try:
                *path, last = rng.choice(spots)
                for step in path:
                    at = at[step]
                at[last] = copy.deepcopy(rng.choice(values))
            except (KeyError, IndexError, TypeError):
                continue  # an earlier change took the place away
        try:
            decode_result(header, message.buffers)
        except AddonError as error:
            refused += 1
            assert error.code in ("malformed", "version")
    assert refused > 200


def positions(value: Any, path: tuple = ()) -> list[tuple]:
    """Paths to everything in the header but the long lists of numbers."""
    items = value.items() if isinstance(value, dict) else enumerate(value[:4]) if isinstance(value, list) else ()
    return [spot for key, item in items for spot in [(*path, key), *positions(item, (*path, key))]]


def preview_message(message: HeadMessage) -> tuple[dict[str, Any], list[bytes]]:
    number = buffer_number(message.header, "albedo")
    entry = message.header["buffers"][number] | {"name": "picture"}
    return {"type": "preview", "stage": "dense", "number": 3, "buffers": [entry]}, [message.buffers[number]]


def test_a_preview_is_taken_apart(message: HeadMessage) -> None:
    header, buffers = preview_message(message)
    assert decode_preview(header, buffers) == buffers[0]


def test_a_broken_preview_is_refused(message: HeadMessage) -> None:
    header, buffers = preview_message(message)
    buffers[0] = bytes(len(buffers[0]))
    with pytest.raises(AddonError):
        decode_preview(header, buffers)
