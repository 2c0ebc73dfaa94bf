"""Measures of how close a reconstruction is: depth, shape, landmarks, pictures, identity."""
