"""The landmark net."""
