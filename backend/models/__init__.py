"""Learned models, a package each: what it is (``__init__``), its network, and how it is applied to photos.

``registry.open_models`` loads them; ``contract.Models`` then has each, or why it takes no part.
"""
