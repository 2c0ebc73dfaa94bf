"""Training data of the graph face model."""

from trainer.data.graph.batch import UNKNOWN, GraphBatch, known_part, labelled_people, mirrored_batch, smaller_batch
from trainer.data.graph.source import GraphPeopleConfig, GraphShapesConfig

__all__ = [
    "UNKNOWN",
    "GraphBatch",
    "GraphPeopleConfig",
    "GraphShapesConfig",
    "known_part",
    "labelled_people",
    "mirrored_batch",
    "smaller_batch",
]
