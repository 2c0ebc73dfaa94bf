"""The expression reader."""
