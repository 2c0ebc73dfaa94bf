"""Train the reader of expressions and head poses on synthetic people, and write it to assets/expressions."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from backend.expression.reading import READER_PATH
from trainer.engine.disk_cache import cache_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``python -m trainer expressions``."""
    parser.add_argument("--out", type=Path, default=READER_PATH, help="file to write (default: the committed one)")
    parser.add_argument("--people", type=int, default=3200, help="people to draw, two pictures each (default 3200)")
    parser.add_argument("--hard", type=int, default=800, help="people from the side, masked, blinking (default 800)")
    parser.add_argument(
        "--rare",
        type=int,
        default=9024,
        help="of the landmark net's people, those with the rarest faces (default 9024)",
    )
    parser.add_argument("--calm", type=int, default=2560, help="and those whose faces do nothing rare (default 2560)")
    parser.add_argument("--minutes", type=float, default=60.0, help="drawing stops after so long (default 60)")
    parser.add_argument("--epochs", type=int, default=None, help="of the networks")
    parser.add_argument(
        "--data",
        type=Path,
        default=None,
        help="folder of drawn people; those that are there are not drawn again (default: in the cache)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Render people, train the reader, print its errors on held-out people; returns exit code 0."""
    from dataclasses import replace

    import torch

    from backend.expression.reading import save_reader
    from backend.models.landmarks import SurfaceLandmarker
    from backend.rig.arkit import LIDS
    from trainer.methods.expressions.learn import LearningOptions, feature_table, hold_out, learn_reader
    from trainer.methods.expressions.observe import collect, collect_kept, read_observed

    torch.set_num_threads(1)
    version = SurfaceLandmarker.load().version
    folder = arguments.data or cache_folder() / "expression_pictures" / version
    end = time.monotonic() + 60.0 * arguments.minutes
    collect(folder, range(arguments.people), range(arguments.hard), end)
    collect_kept(folder, arguments.rare, arguments.calm, end)
    observed = read_observed(folder)
    table = feature_table(observed)
    options = LearningOptions()
    if arguments.epochs is not None:
        options = replace(options, epochs=arguments.epochs)
    held_out, hard = hold_out(table, options)
    reader = learn_reader(table, held_out, options)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    save_reader(reader, arguments.out, {"pictures": str(len(observed.person)), "landmark_net": version})
    print(f"{arguments.out.name}: {len(observed.person)} pictures; on people held out")
    for name, errors in (("ordinary", held_out), ("hard", hard)):
        if not len(errors.true):
            continue
        off = np.abs(errors.found - errors.true)
        before, left = (np.degrees(np.linalg.norm(turn, axis=1)).mean() for turn in (errors.before, errors.left))
        print(
            f"{name}: weights are off by {off.mean():.4f} (all zeros: {errors.true.mean():.4f}), lids by "
            f"{off[:, LIDS].mean():.3f}, the turn by {left:.2f} degrees (rigid fit: {before:.2f})"
        )
    return 0
