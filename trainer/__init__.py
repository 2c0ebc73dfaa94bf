"""Make the backend's assets: bake the template, render synthetic people, train and evaluate."""

import backend  # noqa: F401  its settings for numpy and torch must be set before these are imported
