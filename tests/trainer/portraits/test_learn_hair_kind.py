"""Heads learn what features tell, from left and right alike, and nothing from noise."""

import csv

import numpy as np

from backend.models.hair_kind import FIELDS
from trainer.portraits.hair_kind import JUDGED_PATH, KINDS_PATH, balanced_accuracy, fit_heads, read_kinds


def test_labels_have_known_values_and_nobody_is_in_both_lists() -> None:
    kinds, judged = read_kinds(), read_kinds(JUDGED_PATH)
    assert len(kinds) > 900 and len(judged) >= 147 and not set(kinds) & set(judged)
    for path in (KINDS_PATH, JUDGED_PATH):
        with path.open(newline="") as file:
            rows = list(csv.reader(file))
        assert rows[0] == ["file", *FIELDS] and len({row[0] for row in rows}) == len(rows)


def test_heads_find_what_features_tell_and_mirror_images_swap_left_and_right() -> None:
    random = np.random.default_rng(0)
    side = random.integers(0, 2, 120)
    features = random.normal(0, 1, (2, 120, 30))
    for view, sign in enumerate((1, -1)):
        features[view, :, 0] += sign * 4 * (side - 0.5)
    kinds = [{"flow": ("aside_left", "aside_right")[k], "fringe": ("none", "full")[n % 2]} for n, k in enumerate(side)]
    heads, figures = fit_heads(features, kinds, {"flow": True, "fringe": False})
    assert figures["flow"] > 0.8 and 0.3 < figures["fringe"] < 0.7
    values, weights, _ = heads["flow"]
    assert values == ("aside_left", "aside_right") and weights[0, 1] > weights[0, 0]
    few = [{"tied": "no" if n else "braid"} for n in range(120)]
    assert not fit_heads(features, few, {"tied": True})[0], "one braid teaches nothing"


def test_balanced_accuracy_counts_values_alike() -> None:
    truth = np.array(["no"] * 16 + ["bun"] * 4 + ["braid"])
    assert balanced_accuracy(truth, np.array(["no"] * 21)) == (0.5, 16 / 21), "and one braid says nothing"
