"""Evaluate the learned expressions as corrections of the 52 shape keys: how much they change, whether the rig's rules
still hold, and whether they explain people's expressions better."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.optimize import lsq_linear

from backend.geometry.deformation_graph import deformation_graph
from backend.geometry.template import Template, load_template
from backend.models.learned_basis.network import MILLIMETRE, FaceBases
from backend.rig.arkit import ARKIT_INDEX, ARKIT_NAMES, mirrored_name
from backend.rig.measure import lid_gap_mm, lip_gap_mm, side_leak
from backend.rig.personalise import personalise_keys
from trainer.data.face_model import FaceBatch
from trainer.losses.face_model import METRES_TO_MM
from trainer.stages.learned_basis_start import begin_from_prior

LARGEST_LID_GAP_MM = 0.3
LARGEST_LIP_GAP_MM = 0.3
LARGEST_LEAK = 0.05
"""Largest allowed motion on the opposite side of the face, as a share of the key's largest motion."""
_LEAK_MARGIN_MM = 10.0
WHOLE_FACE_SIDES = ("mouthLeft", "mouthRight", "jawLeft", "jawRight")
"""Keys that are named for one side but move both."""
_STRIDE = 4


@dataclass(frozen=True)
class CorrectedKeys:
    """keys : (52, V, 3) metres; the template's where a correction breaks a rule. moved_mm : (52,) mean size over the
    face of every correction, rejected ones included. refused : names of keys whose corrections were rejected."""

    keys: np.ndarray
    moved_mm: np.ndarray
    refused: tuple[str, ...]


def corrections(bases: FaceBases) -> np.ndarray:
    """(52, V_head, 3) metres: how far training moved the part of each key that the basis expresses.

    The expression basis begins as directions S of the keys at the nodes (``begin_from_prior``); a key is S c + rest.
    With the learned basis M it becomes M c + rest: the codes c and the residual stay the same.
    """
    begun = FaceBases(bases.config, bases.surface)
    begin_from_prior(begun)
    template, graph = load_template(), deformation_graph(bases.config.nodes)
    importance = 0.05 + template.regions["face"][: template.head.vertex_stop]
    nodes = graph.fitted(template.expressions[:, : template.head.vertex_stop], importance) / MILLIMETRE
    start = begun.expression.detach().double().numpy().reshape(bases.config.expression, -1)
    used = np.abs(start).max(1) > 0
    codes = np.linalg.lstsq(start[used].T, nodes.reshape(len(nodes), -1).T.astype(np.float64), rcond=1e-4)[0]  # (m, 52)
    learned = bases.expression.detach().double().numpy().reshape(len(start), -1)
    change = (codes.T @ (learned - start)[used]).reshape(len(nodes), -1, 3)
    return MILLIMETRE * graph.offsets(change)


def rule_breakers(template: Template, keys: np.ndarray) -> list[str]:
    """Names of keys (52, V, 3) that break a rule on the template's face: lids stay open (gap over 0.3 mm), lips do not
    meet at ``jawOpen`` + ``mouthClose``, or the opposite side moves by more than 5 %."""
    neutral, broken = template.vertices, []
    for eye, name in enumerate(("eyeBlinkLeft", "eyeBlinkRight")):
        if lid_gap_mm(template, neutral + keys[ARKIT_INDEX[name]], eye) > LARGEST_LID_GAP_MM:
            broken.append(name)
    jaw, close = keys[ARKIT_INDEX["jawOpen"]], keys[ARKIT_INDEX["mouthClose"]]
    if lip_gap_mm(template, neutral + jaw + close) > LARGEST_LIP_GAP_MM:
        broken += ["jawOpen", "mouthClose"]
    for name, offsets in zip(ARKIT_NAMES, keys, strict=True):
        if mirrored_name(name) == name or name in WHOLE_FACE_SIDES:
            continue
        side = 1 if name.endswith("Left") else -1
        largest = np.linalg.norm(offsets, axis=1).max() * METRES_TO_MM
        if side_leak(template, neutral, offsets, side, _LEAK_MARGIN_MM) > LARGEST_LEAK * largest:
            broken.append(name)
    return broken


def corrected_keys(bases: FaceBases) -> CorrectedKeys:
    """Apply the learned corrections to the template's keys where the rig's rules hold, as the product would.

    The corrected keys pass through ``personalise_keys``; a key that then breaks a rule is reset to the template's."""
    template = load_template()
    head = template.head.vertex_stop
    change = corrections(bases)
    face = template.regions["face"][:head] > 0.5
    moved = np.linalg.norm(change[:, face], axis=-1).mean(1) * METRES_TO_MM
    expressions = template.expressions.copy()
    expressions[:, :head] += change.astype(np.float32)
    keys = personalise_keys(replace(template, expressions=expressions), template.vertices)
    refused = rule_breakers(template, keys)
    for name in refused:
        keys[ARKIT_INDEX[name]] = template.expressions[ARKIT_INDEX[name]]
    return CorrectedKeys(keys, moved, tuple(refused))


def explained_mm(keys: np.ndarray, batches: Iterable[FaceBatch]) -> float:
    """Mean distance in mm over the face from true expressions to the nearest sum of keys with weights in [0, 1]."""
    template = load_template()
    head = template.head.vertex_stop
    chosen = np.flatnonzero(template.regions["face"][:head] > 0.5)[::_STRIDE]
    flat = keys[:, chosen].reshape(len(keys), -1).astype(np.float64)
    root = np.linalg.cholesky(flat @ flat.T + 1e-9 * np.eye(len(flat)))
    left = []
    for batch in batches:
        truth = batch.truth
        moved = (truth.vertices - truth.neutral)[:, torch.from_numpy(chosen)].double().numpy()
        for one in moved:
            right = np.linalg.solve(root, flat @ one.ravel())
            weights = lsq_linear(root.T, right, bounds=(0.0, 1.0), method="bvls").x
            left.append(np.linalg.norm(one - np.tensordot(weights, keys[:, chosen], 1), axis=1).mean())
    return float(np.mean(left) * METRES_TO_MM)


def key_figures(bases: FaceBases, batches: Iterable[FaceBatch]) -> dict[str, float]:
    """``keys.moved_mm`` (mean over keys), ``keys.refused`` (how many), and ``keys.explained_mm.template`` and
    ``.corrected`` on held-out people."""
    found, batches = corrected_keys(bases), list(batches)
    template = load_template()
    plain = personalise_keys(template, template.vertices)
    return {
        "keys.moved_mm": float(found.moved_mm.mean()),
        "keys.refused": float(len(found.refused)),
        "keys.explained_mm.template": explained_mm(plain, batches),
        "keys.explained_mm.corrected": explained_mm(found.keys, batches),
    }
