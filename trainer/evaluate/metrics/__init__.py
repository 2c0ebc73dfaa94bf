"""Reconstruction metrics: depth, shape, landmarks, pictures, identity."""
