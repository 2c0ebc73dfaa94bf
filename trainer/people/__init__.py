"""Synthetic people, rendered on the device that trains."""
