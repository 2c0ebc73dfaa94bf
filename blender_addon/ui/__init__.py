"""User interface: panels, status bar, pictures."""
