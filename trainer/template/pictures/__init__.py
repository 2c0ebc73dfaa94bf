"""Sheets of the template's keys and people, for the docs and the add-on."""
