"""Grooms: hair as some fifty numbers (``assets/grooms``), grown on any head."""

from backend.hair.groom.description import Groom, load_grooms
from backend.hair.groom.grow import GrownGroom, grow_guides
from backend.hair.hair_strands import Scalp

__all__ = ["Groom", "GrownGroom", "Scalp", "grow_guides", "load_grooms"]
