"""User interface: panels, status bar, pictures, and the preview in the view's corner."""
