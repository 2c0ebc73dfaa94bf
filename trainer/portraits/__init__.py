"""Real photographs: found, cropped and labelled once, then read by sources."""
