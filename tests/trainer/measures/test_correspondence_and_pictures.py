import numpy as np
import pytest

from trainer.measures.metrics import per_vertex_error


def test_alignment_takes_away_a_similarity_and_nothing_else():
    generator = np.random.default_rng(0)
    true = generator.normal(size=(50, 3))
    rotation, _ = np.linalg.qr(generator.normal(size=(3, 3)))
    rotation *= np.sign(np.linalg.det(rotation))
    assert per_vertex_error(0.3 * true @ rotation.T + 5, true).mean == pytest.approx(0, abs=1e-9)
    mirrored = per_vertex_error(true * [-1, 1, 1], true)
    assert mirrored.mean > 100  # a reflection is not a similarity that a head may undergo


def test_per_vertex_error_without_alignment_by_hand():
    true = np.zeros((4, 3))
    predicted = np.array([[0.003, 0.004, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0.001]])
    error = per_vertex_error(predicted, true, align=False)
    assert error.mean == pytest.approx(1.5)  # (5 + 0 + 0 + 1) / 4 mm
    assert error.median == pytest.approx(0.5)
    assert per_vertex_error(predicted, true, align=False, chosen=np.array([0])).mean == pytest.approx(5)
