"""The template's own head, on which hair grows."""

from __future__ import annotations

import pytest

from backend.geometry.template import Template
from backend.hair.groom.grow import GroomHead


@pytest.fixture(scope="session")
def head(template: Template) -> GroomHead:
    return GroomHead(template, template.vertices)
