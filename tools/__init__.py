"""Maintainer tools for a checkout: making a release."""
