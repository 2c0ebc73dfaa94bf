"""Synthetic faces that are not linear: soft tissue on bone, colliding and sticking lips, asymmetric expressions."""

from trainer.data.living.faces import LivingFaces, LivingPerson, draw_living_person
from trainer.data.living.idiosyncrasies import Idiosyncrasies

__all__ = ["Idiosyncrasies", "LivingFaces", "LivingPerson", "draw_living_person"]
