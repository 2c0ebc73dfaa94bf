"""Operators: everything the artist can do."""
