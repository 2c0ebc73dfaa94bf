"""What the artist sees: properties, preferences, panels, status bar, thumbnails, the head that grows in the corner."""
