"""User interface: properties, preferences, panels, status bar, thumbnails, and the preview in the view's corner."""
