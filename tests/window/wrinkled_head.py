"""``message.npz`` for the story ``relief``: ``python tests/window/wrinkled_head.py FILE [--photos FOLDER]``.

Without photos: a synthetic person, reconstructed from rendered photographs, whose skin gets the relief of an old
synthetic person, since those photographs show none. With photos: the head and the relief that are found in them.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "blender_addon" / "scene")]

from head_message import HeadMessage, save  # noqa: E402

from backend.detail.find import ALWAYS_REACH, WRINKLE_REACH, WRINKLE_SIZE, pores  # noqa: E402
from backend.detail.skin_detail import KEY_GROUPS, SkinDetail, height_map  # noqa: E402
from backend.detail.window import insert_in_map  # noqa: E402
from backend.exchange.face_asset import FaceAsset  # noqa: E402
from backend.exchange.wire import encode_face  # noqa: E402
from backend.geometry.template import load_template  # noqa: E402
from backend.photos.formats import PhotoSource  # noqa: E402
from backend.pipeline import ReconstructOptions, reconstruct  # noqa: E402
from backend.texture.surface import texels_per_metre, texture_space  # noqa: E402
from protocol.names import ARKIT_NAMES  # noqa: E402
from trainer.methods.detail.relief import Relief, cause, draw_relief  # noqa: E402

TEXTURE = 2048
WINDOW = 512
DEMO = Path(__file__).resolve().parents[2] / "assets" / "demo"
AGE = 0.7
"""From 0 (young) to 1 (old), see ``draw_relief``."""


def old_skin(asset: FaceAsset, seed: int = 5) -> SkinDetail:
    """Relief of an old synthetic person, as the keys of ``asset`` press the skin together."""
    head, surface = asset.parts[0], cause(WINDOW).window.surface
    keys = np.stack([head.keys[name] for name in ARKIT_NAMES])
    relief = Relief(draw_relief(np.random.Generator(np.random.Philox(key=seed)), AGE), WINDOW)
    at_rest, *posed = relief.under_groups(head.vertices, keys)
    still = surface.lifted(head.vertices.astype(np.float64))
    always = insert_in_map(at_rest, TEXTURE)
    always += pores(surface, texture_space(load_template(), TEXTURE).skin, texels_per_metre(surface, still, TEXTURE))
    wrinkles = {
        name: height_map(insert_in_map(one - at_rest, WRINKLE_SIZE), WRINKLE_REACH)
        for name, one in zip(KEY_GROUPS, posed, strict=True)
    }
    return SkinDetail(height_map(always, ALWAYS_REACH), wrinkles)


def main() -> int:
    """Reconstruct and save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--photos", type=Path, help="folder of one person's photos")
    given = parser.parse_args()
    options = ReconstructOptions(hair="none", texture_size=TEXTURE)
    folder = given.photos or DEMO
    paths = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in (".jpg", ".jpeg", ".png")]
    asset = reconstruct([PhotoSource.from_path(path) for path in paths], options).asset
    if not given.photos:
        asset = replace(asset, detail=old_skin(asset))
    if asset.detail is None:
        print(asset.report["detail"]["sentence"])
        return 1
    message = encode_face(asset)
    header = json.loads(json.dumps({"type": "result", "job": "0" * 32, "token": "t", **message.header}))
    save(HeadMessage(header, message.buffers, {}, None, None), given.file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
