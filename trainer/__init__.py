"""What makes the backend's assets: it bakes the template, draws people, trains and evaluates."""

import backend  # noqa: F401  its settings for numpy and torch must be there before these are
