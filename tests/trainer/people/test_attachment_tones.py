"""Patterns on cloth and hair, and the highlight of fibres, against cases worked out by hand."""

import torch

from trainer.people.dress.layers import CHECKS, KNIT, PLAIN, STRANDS, STRIPES, WEAVE, fibre_highlight, surface_tone


def tone(kind: int, strength: float, u: float, v: float) -> float:
    return float(surface_tone(torch.tensor([float(kind), strength, u, v])))


def test_plain_surfaces_and_zero_strength_stay_as_they_are():
    assert tone(PLAIN, 0.9, 3.3, 1.2) == 1.0
    for kind in (STRANDS, KNIT, STRIPES, CHECKS, WEAVE):
        assert tone(kind, 0.0, 3.3, 1.2) == 1.0


def test_stripes_alternate_with_one_unit_and_checks_do_both_ways():
    across = [tone(STRIPES, 0.4, u, 0.3) for u in (0.1, 1.1, 2.1, -0.9)]
    assert torch.allclose(torch.tensor(across), torch.tensor([0.6, 1.4, 0.6, 1.4]), atol=1e-5)
    values = {round(tone(CHECKS, 0.4, u, v), 3) for u in (0.1, 1.1) for v in (0.1, 1.1)}
    assert values == {0.6, 1.0, 1.4}


def test_strands_are_streaks_of_mean_one_that_repeat():
    u = torch.rand(20000, generator=torch.Generator().manual_seed(1)) * 500
    detail = torch.stack([torch.full_like(u, STRANDS), torch.full_like(u, 0.5), u, u * 0.7], -1)
    values = surface_tone(detail)
    assert abs(float(values.mean()) - 1) < 0.02
    assert 0.1 < float(values.std()) < 0.4
    assert torch.equal(values, surface_tone(detail))


def test_a_fibre_shines_most_across_the_half_vector():
    light, view = torch.tensor([0.0, 0.0, 1.0]), torch.tensor([0.0, 0.0, 1.0])
    rough = torch.tensor(0.5)
    along = [
        float(fibre_highlight(torch.tensor(t), light, view, rough))
        for t in ([1.0, 0.0, 0.0], [0.6, 0.0, 0.8], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0])
    ]
    assert along[0] == 1.0
    assert abs(along[1] - (1 - 0.64) ** 4) < 1e-5
    assert along[2] < 1e-6 and along[3] == 0.0
