"""The learned face model: linear bases of identity, expression and reflectance, and an encoder of their coefficients.

In the shipped weights the encoder, its light and the reflectance are learned from pictures. Identity is the principal
components of synthetic people; expressions are nearly the template's own.

Photos with landmarks go in (``apply.encoded_face``); an ``EncodedFace`` comes out, from which the fit starts.
"""

from __future__ import annotations

from backend.models.contract import LearnedModel, Switch

LEARNED_BASIS = LearnedModel(
    "learned_basis",
    purpose="an encoder that starts the fit; its identity is principal components of synthetic people",
    without="the fit starts cold, from landmarks",
    loader="backend.models.learned_basis.apply:BasisModel.load",
    switch=Switch("learned_basis", "start the fit cold, not from the learned face model's encoder"),
    on_gpu=True,
)
