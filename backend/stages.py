"""The stages of a job: their usual duration, and the sentences shown meanwhile."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """A stage's name, its usual share of the total time, and a sentence that describes it."""

    name: str
    share: float
    sentence: str


STARTING, SENDING, WRITING = "starting", "sending", "writing files"
STAGES: tuple[Stage, ...] = (
    Stage(STARTING, 0.0, "Starting up"),
    Stage("photos", 0.08, "Looking at the photos"),
    Stage("canonical", 0.01, "Estimating the face's surface"),
    Stage("personalise", 0.0, "Tuning the face model to this person"),
    Stage("encoder", 0.01, "Making a first estimate of the face"),
    Stage("landmarks", 0.04, "Finding the face's shape"),
    Stage("dense", 0.08, "Aligning the photos with each other"),
    Stage("cage", 0.02, "Refining the shape"),
    Stage("appearance", 0.02, "Estimating light and skin colour"),
    Stage("rig", 0.03, "Making the shape keys"),
    Stage("hair", 0.19, "Growing the hair"),
    Stage("texture", 0.47, "Painting the texture"),
    Stage("detail", 0.03, "Finding wrinkles and pores"),
    Stage(SENDING, 0.02, "Packing the head"),
)
"""In order; shares as measured with three photos, standard quality and a 1024 px texture on two cores."""

TRANSFER_STAGES: tuple[Stage, ...] = (
    Stage(STARTING, 0.0, "Starting up"),
    Stage("identity", 0.15, "Estimating the neutral face"),
    Stage("expression", 0.85, "Following the expression"),
)
"""The same for a transfer."""

SENTENCES = {stage.name: stage.sentence for stage in STAGES + TRANSFER_STAGES}
SHARES = {stage.name: stage.share for stage in STAGES}
TRANSFER_SHARES = {stage.name: stage.share for stage in TRANSFER_STAGES}
FILE_SHARES = {name: share for name, share in SHARES.items() if name not in (STARTING, SENDING)} | {WRITING: 0.13}
"""Shares for a job that writes files, on the same scale."""
LOADING_SENTENCE = "Loading the models"
"""Sentence of the stage ``starting`` while no worker is ready."""
COLD_START_SHARE = 0.15
"""Share of the total time of the stage ``starting`` for a job whose worker still has to load the models (3 of 20 s with
three photos on two cores). ``STAGES`` gives it 0, because later jobs do not wait for that."""


def sentence_for(stage: str) -> str:
    """The sentence that describes ``stage``."""
    return SENTENCES.get(stage) or stage.capitalize()
