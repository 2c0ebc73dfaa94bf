"""Names of shape keys, suggested mappings, and files of expressions; without Blender."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from blender_addon.shared.names import ARKIT_NAMES

from blender_addon.errors import AddonError
from blender_addon.protocol.clips import parse_csv, parse_json, read_clip, resample
from blender_addon.transfer.names import KeyLink, Tier, apply_links, meaning, suggest

LEFT, RIGHT = ("eyeBlink", "L"), ("eyeBlink", "R")


@pytest.mark.parametrize(
    ("name", "atoms"),
    [
        ("eyeBlinkLeft", {LEFT}),
        ("eyeBlink_L", {LEFT}),
        ("EyeBlinkLeft", {LEFT}),
        ("Eye_Blink_R", {RIGHT}),
        ("eyeblinkright", {RIGHT}),
        ("eyeBlink.L", {LEFT}),
        ("L_eyeBlink", {LEFT}),
        ("eyeBlink", {LEFT, RIGHT}),
        ("blendShape1.eyeBlinkLeft", {LEFT}),
        ("head|eyeBlinkLeft.001", {LEFT}),
        ("Face.M_F00_000_00_Fcl_EYE_Close_L", {LEFT}),
        ("Fcl_EYE_Close", {LEFT, RIGHT}),
        ("BLINK_RIGHT", {RIGHT}),
        ("LeftUpperLidClosed", {LEFT}),
        ("eye-left-closure", {LEFT}),
        ("LeftEyeturnRight", {("eyeLookIn", "L")}),
        ("Eye_R_Look_R", {("eyeLookOut", "R")}),
        ("MouthRightPullDown", {("mouthFrown", "R")}),
        ("jawLeft", {("jawLeft", "L"), ("jawLeft", "R")}),
        ("Jaw_L", {("jawLeft", "L"), ("jawLeft", "R")}),
        ("Mouth_R", {("mouthRight", "L"), ("mouthRight", "R")}),
        ("mouth_smile_left", {("mouthSmile", "L")}),
        ("browInnerUp_R", {("browInnerUp", "R")}),
        ("Brow_Raise_Inner_L", {("browInnerUp", "L")}),
        ("AU12_L", {("mouthSmile", "L")}),
        ("AU02", {("browOuterUp", "L"), ("browOuterUp", "R")}),
        ("まばたき", {LEFT, RIGHT}),
    ],
)
def test_a_name_is_understood(name: str, atoms: set) -> None:
    found = meaning(name)
    assert found is not None and found.atoms == atoms


@pytest.mark.parametrize("name", ["Basis", "Key 1", "hair_long", "Variant_A", "body_fat", "left", "", "chin"])
def test_other_names_mean_nothing(name: str) -> None:
    assert meaning(name) is None


def test_all_52_are_themselves_in_every_spelling() -> None:
    for name in ARKIT_NAMES:
        assert meaning(name).tier is Tier.EXACT
        for spelled in (name.lower(), name[0].upper() + name[1:], f"Wolf3D_Head.{name}"):
            assert meaning(spelled).atoms == meaning(name).atoms, spelled
    assert len({meaning(name).atoms for name in ARKIT_NAMES}) == 52


def test_suggestions_prefer_the_surest_name_and_move_nothing_twice() -> None:
    arkit = sorted(ARKIT_NAMES)
    assert suggest(arkit, ["eyeBlink_L", "eyeBlinkLeft", "blink"]) == (KeyLink("eyeBlinkLeft", "eyeBlinkLeft"),)
    vroid = ["Fcl_ALL_Joy", "Fcl_EYE_Close", "Fcl_EYE_Close_R", "Fcl_EYE_Close_L", "Fcl_MTH_A", "Fcl_MTH_Fun"]
    links = {(link.source, link.target): link.weight for link in suggest(arkit, vroid)}
    assert links == {
        ("eyeBlinkRight", "Fcl_EYE_Close_R"): 1.0,
        ("eyeBlinkLeft", "Fcl_EYE_Close_L"): 1.0,
        ("jawOpen", "Fcl_MTH_A"): 1.0,
        ("mouthSmileLeft", "Fcl_MTH_Fun"): 0.5,
        ("mouthSmileRight", "Fcl_MTH_Fun"): 0.5,
    }


def test_keys_of_halves_and_of_both_sides() -> None:
    assert suggest(["browInnerUp"], ["browInnerUp_L", "browInnerUp_R"]) == (
        KeyLink("browInnerUp", "browInnerUp_L"),
        KeyLink("browInnerUp", "browInnerUp_R"),
    )
    halves = suggest(["browInnerUp_L", "browInnerUp_R"], ["browInnerUp"])
    assert {(link.source, link.weight) for link in halves} == {("browInnerUp_L", 0.5), ("browInnerUp_R", 0.5)}
    assert suggest(["Fcl_EYE_Close"], ["eyeBlinkLeft"]) == (KeyLink("Fcl_EYE_Close", "eyeBlinkLeft"),)
    assert suggest(["odd name", "other"], ["odd name"]) == (KeyLink("odd name", "odd name"),)


def test_links_weigh_hold_and_add_up() -> None:
    links = (KeyLink("a", "x", 0.5), KeyLink("b", "x", 2.0, 0.0, 0.4), KeyLink("c", "y", -1.0, -0.3, 0.0))
    values = {"a": np.array([0.0, 1.0]), "b": np.array([0.1, 1.0]), "c": np.array([0.2, 1.0])}
    out = apply_links(links, values)
    np.testing.assert_allclose(out["x"], [0.2, 0.9])
    np.testing.assert_allclose(out["y"], [-0.2, -0.3])
    assert apply_links((KeyLink("missing", "x"),), values) == {}


def live_link_csv(frames: int, rate: int = 30) -> str:
    names = [name[0].upper() + name[1:] for name in sorted(ARKIT_NAMES)]
    head = ["Timecode", "BlendshapeCount", *names, "HeadYaw", "HeadPitch", "HeadRoll", "LeftEyeYaw"]
    rows = [",".join(head)]
    for frame in range(frames):
        code = f"23:59:{59 + frame // rate if frame < rate else frame // rate - 1:02}:{frame % rate:02}.000"
        code = code if frame < rate else f"00:00:{frame // rate - 1:02}:{frame % rate:02}.000"
        values = [f"{frame / frames:.4f}" if name == "JawOpen" else "0.0" for name in names]
        rows.append(",".join([code, "61", *values, f"{0.01 * frame:.4f}", "0.1", "0.0", "0.0"]))
    return "\n".join(rows) + "\n"


def test_live_link_face() -> None:
    clip = parse_csv(live_link_csv(75))
    assert set(clip.names) == set(ARKIT_NAMES) and clip.weights.shape == (75, 52)
    np.testing.assert_allclose(clip.seconds, np.arange(75) / 30.0, atol=1e-9)  # over midnight
    np.testing.assert_allclose(clip.weights[:, clip.names.index("jawOpen")], np.arange(75) / 75, atol=1e-4)
    np.testing.assert_allclose(
        clip.rotation @ clip.rotation.transpose(0, 2, 1), np.tile(np.eye(3), (75, 1, 1)), atol=1e-9
    )
    assert parse_csv(live_link_csv(130, 60)).seconds[-1] == pytest.approx(129 / 60)


def take(frames: int, fps: float | None = 30.0) -> dict:
    """What the backend writes (docs/expressions.md)."""
    names = sorted(ARKIT_NAMES)
    weights = np.zeros((frames, 52))
    weights[:, names.index("jawOpen")] = np.linspace(0.0, 1.0, frames)
    half = np.linspace(0.0, 0.3, frames)
    head = [[0.0, 0.0, -0.5, float(np.cos(h)), 0.0, float(np.sin(h)), 0.0] for h in half]
    marks = [0] * frames
    if frames > 3:
        head[2], marks[2] = None, 1
    return {
        "format": "likeness-expression", "version": 1, "source": "x", "kind": "video", "fps": fps,
        "frame_count": frames, "frame_names": [], "names": names, "weights": weights.tolist(), "head": head,
        "rest_head": None, "pivot": [0, 0, 0], "gaze": [[0] * 4] * frames, "marks": marks,
        "mark_names": ["measured", "no_face"], "errors": [None] * frames, "left_out": [], "convention": "",
    }  # fmt: skip


def test_an_expression_file_and_its_frame_rate() -> None:
    clip = parse_json(json.dumps(take(61)))
    assert clip.seconds[-1] == pytest.approx(2.0) and clip.found.sum() == 60
    turn = np.degrees(np.arctan2(clip.rotation[:, 0, 2], clip.rotation[:, 2, 2]))
    np.testing.assert_allclose(turn, np.degrees(np.linspace(0, 0.6, 61)), atol=1e-3)
    for rate in (24.0, 29.97, 60.0, 120.0):
        other = resample(clip, rate)
        assert len(other.seconds) == int(2.0 * rate + 1e-6) + 1
        np.testing.assert_allclose(other.weights[:, clip.names.index("jawOpen")], other.seconds / 2.0, atol=1e-6)
        turn = np.arctan2(other.rotation[:, 0, 2], other.rotation[:, 2, 2])
        np.testing.assert_allclose(turn, 0.3 * other.seconds, atol=1e-4)
    assert resample(parse_json(json.dumps(take(1, None))), 24.0).weights.shape == (1, 52)


@pytest.mark.parametrize("text", ["", "{}", "[1]", "a,b\n1,2\n", '{"format": "other"}', "Timecode,BlendshapeCount\n"])
def test_other_files_are_refused_with_advice(text: str, tmp_path: Path) -> None:
    (tmp_path / "file.json").write_text(text)
    with pytest.raises(AddonError, match=r"Choose an expression\.json") as refused:
        read_clip(tmp_path / "file.json")
    assert refused.value.code == "bad_clip"


def test_broken_numbers_are_refused(tmp_path: Path) -> None:
    broken = take(5)
    broken["weights"][2][3] = float("nan")
    (tmp_path / "file.json").write_text(json.dumps(broken))
    with pytest.raises(AddonError, match="can be read"):
        read_clip(tmp_path / "file.json")
    with pytest.raises(AddonError, match="could not be read"):
        read_clip(tmp_path / "none.json")
