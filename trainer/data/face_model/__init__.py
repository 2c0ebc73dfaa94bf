"""Photos and clips of people for the learned face model; the synthetic ones have ground truth."""

from trainer.data.face_model.batch import FaceBatch, FaceTruth, join_faces
from trainer.data.face_model.source import FaceMixConfig, FacePeopleConfig, FacePortraitsConfig

__all__ = ["FaceBatch", "FaceMixConfig", "FacePeopleConfig", "FacePortraitsConfig", "FaceTruth", "join_faces"]
