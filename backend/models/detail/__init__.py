"""Wrinkles that follow the expression: the network that turns photos on the unwrapped face into displacement.

Observations and expressions go in; heights in millimetres come out. ``backend.detail`` makes a head's relief of them.
"""
