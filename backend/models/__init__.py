"""Learned models, one package each: a description (``__init__``), the network, and its application to photos.

``registry.open_models`` loads them all into ``contract.Models``, with a reason for each model that is not used.
"""
