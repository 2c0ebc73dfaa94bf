"""The landmark net: points of the face's surface, each with a standard deviation.

Input is a picture with a detected face (``apply.SurfaceLandmarker``); output are ``SurfaceLandmarks``.
"""

from __future__ import annotations

from backend.models.contract import LearnedModel, Switch

LANDMARK_NET = LearnedModel(
    "landmarks",
    purpose="points of the face's surface",
    without="the fit takes the detector's landmarks",
    loader="backend.models.landmarks.apply:SurfaceLandmarker.load",
    on_gpu=True,
    switch=Switch("landmark_net", "fit to the detector's landmarks alone, not to our net's as well"),
)
