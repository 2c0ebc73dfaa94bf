"""A small CPU ray tracer for evaluation photographs, independent of ``backend.rendering`` on purpose."""
