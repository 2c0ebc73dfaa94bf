"""What the graph face model learns from."""

from trainer.data.graph.batch import GraphBatch, mirrored_batch, smaller_batch
from trainer.data.graph.source import GraphPeopleConfig, GraphShapesConfig

__all__ = ["GraphBatch", "GraphPeopleConfig", "GraphShapesConfig", "mirrored_batch", "smaller_batch"]
