"""The template that fits begin with."""

from __future__ import annotations

import pytest

from backend.geometry.template import Template, load_template


@pytest.fixture(scope="module")
def template() -> Template:
    return load_template()
