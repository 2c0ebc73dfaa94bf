"""Hair is as full as the photos show it, place by place."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from made_hair import made_view, style_point

from backend.geometry.template import Template, load_template
from backend.hair.fit_style import PIECES, lock_lines, resampled
from backend.hair.hair_views import HairView, silhouettes
from backend.hair.style_model import lock_noise
from backend.hair.to_outlines import to_outlines

SEEN, LEFT_OUT = (-50.0, 0.0, 50.0), (-25.0, 25.0)


@pytest.fixture(scope="module")
def template() -> Template:
    return load_template()


@pytest.fixture(scope="module")
def strands(template: Template) -> np.ndarray:
    """(G, Q, 3) a bob's."""
    lines = resampled(lock_lines(template, template.vertices, style_point("bob")[None], lock_noise(700)), PIECES)[0]
    return lines[np.isfinite(lines).all((1, 2))].numpy().astype(np.float64)


def skull(template: Template) -> np.ndarray:
    scalp = template.regions["scalp"][: template.head.vertex_stop] > 0.5
    return template.vertices[: template.head.vertex_stop][scalp].mean(0)


def fuller(strands: np.ndarray, middle: np.ndarray) -> np.ndarray:
    """The same hair, 2 cm fuller on the person's left."""
    way = strands - middle
    way[..., 1] = np.maximum(way[..., 1], 0)
    way /= np.linalg.norm(way, axis=-1, keepdims=True)
    bend = np.linspace(0, 1, strands.shape[1])[:, None].clip(0, 0.3) / 0.3
    return strands + 0.02 * bend * way * np.clip(way[..., :1], 0, 1)


def view_of(strands: np.ndarray, template: Template, yaw: float) -> HairView:
    view = made_view(template, yaw, None)
    return replace(view, hair=silhouettes(strands.reshape(1, -1, 3), view)[0].astype(np.float32))


def overlap(strands: np.ndarray, view: HairView) -> float:
    drawn = silhouettes(strands.reshape(1, -1, 3), view)[0] > 0
    return float((drawn & (view.hair > 0)).sum() / (drawn | (view.hair > 0)).sum())


def test_one_side_gets_as_full_as_the_photos_show_it(template: Template, strands: np.ndarray) -> None:
    """A style has one volume for the whole head: the outline was too narrow on one side, or too wide on the other."""
    middle, ends = skull(template), np.full(len(strands), strands.shape[1])
    truth = fuller(strands, middle)
    found = to_outlines(
        strands, np.zeros(strands.shape[:2]), ends, [view_of(truth, template, yaw) for yaw in SEEN], middle
    )
    for yaw in (*SEEN, *LEFT_OUT):
        view = view_of(truth, template, yaw)
        assert 1 - overlap(found, view) < 0.5 * (1 - overlap(strands, view)), yaw
    left = (strands[:, -1, 0] > 0.06) & (strands[:, -1, 2] > middle[2] - 0.05)  # photos see no back
    right = strands[:, -1, 0] < -0.06
    grown = np.linalg.norm(found - strands, axis=-1)[:, -1]
    assert np.median(grown[left]) > 0.008 and np.median(grown[right]) < 0.004
    np.testing.assert_array_equal(found[:, 0], strands[:, 0])  # roots stay


def test_what_photos_do_not_know_moves_nothing(template: Template, strands: np.ndarray) -> None:
    middle, ends = skull(template), np.full(len(strands), strands.shape[1])
    truth = fuller(strands, middle)
    hidden = [
        replace(view, known=np.zeros_like(view.known)) for view in (view_of(truth, template, yaw) for yaw in SEEN)
    ]
    np.testing.assert_array_equal(to_outlines(strands, np.zeros(strands.shape[:2]), ends, hidden, middle), strands)
    right = [view_of(strands, template, yaw) for yaw in SEEN]
    moved = np.linalg.norm(to_outlines(strands, np.zeros(strands.shape[:2]), ends, right, middle) - strands, axis=-1)
    assert np.median(moved) < 0.002  # it is right already


def test_locks_end_at_the_outline_and_not_their_guides(template: Template, strands: np.ndarray) -> None:
    """Hair was half a lock fuller than the photos, all around."""
    middle, ends = skull(template), np.full(len(strands), strands.shape[1])
    views = [view_of(strands, template, yaw) for yaw in SEEN]
    found = to_outlines(strands, np.full(strands.shape[:2], 0.006), ends, views, middle)
    seen = (np.abs(strands[:, -1, 0]) > 0.06) & (strands[:, -1, 2] > middle[2] - 0.05)
    inwards = np.linalg.norm(strands - middle, axis=-1) - np.linalg.norm(found - middle, axis=-1)
    assert 0.003 < np.median(inwards[seen, -1]) < 0.009
