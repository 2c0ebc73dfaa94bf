"""A small CPU ray tracer for evaluation photographs, deliberately independent of ``backend.rendering``."""
