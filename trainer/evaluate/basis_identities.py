"""The identity bases compared: a model's own, its possible starts, and those of other models."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from backend.errors import LikenessError
from backend.models.learned_basis.apply import BasisModel
from backend.models.learned_basis.network import FaceBases, LearnedBasisNet
from trainer.stages.learned_basis_start import begin_from_people, begin_from_prior

PEOPLE = 1000
"""Synthetic people behind the principal components that identity is compared with, as for ``start = "people"``."""
LEARNED, COMPONENTS, ON_GRAPH = "learned", "components", "prior_on_graph"


@dataclass(frozen=True)
class Identities:
    """Identity bases with the same number of coefficients on the same graph.

    Attributes
    ----------
    named : (K, G, 3) node offsets in millimetres per standard deviation, by name: ``learned``, the model's own;
        ``components``, principal components of synthetic people; ``prior_on_graph``, the first K directions of the
        template's modes; and those of other models.
    begun : bases at the start of training: the components as identity, the template's own expressions.
    """

    named: Mapping[str, Tensor]
    begun: FaceBases


@torch.no_grad()
def identities_of(network: LearnedBasisNet, others: Mapping[str, Path], people: int = PEOPLE) -> Identities:
    """Collect the bases of a model, of exported models ``others`` (folders by name), and the components of ``people``
    synthetic people.

    Raises
    ------
    LikenessError : another model is missing, has other sizes, or its name is taken.
    """
    begun = copy.deepcopy(network.bases)
    begin_from_prior(begun)
    on_graph = begun.identity_raw.detach().clone()
    begin_from_people(begun, people)
    named = {
        LEARNED: network.bases.identity().detach().clone(),
        COMPONENTS: begun.identity_raw.detach().clone(),
        ON_GRAPH: on_graph,
    }
    for name, folder in others.items():
        found = BasisModel.load(folder).network.bases.identity().detach()
        if name in named or found.shape != on_graph.shape:
            why = "that name is taken" if name in named else f"its identity is {tuple(found.shape)}"
            advice = f"Bases are compared under names of their own and as {tuple(on_graph.shape)} numbers."
            raise LikenessError("usage", f"{name!r} cannot be compared: {why}.", advice)
        named[name] = found
    return Identities(named, begun)
