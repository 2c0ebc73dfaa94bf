"""Labels of a photo's pixels: skin, brows, eyes, glasses, lips, hair, facial hair, ears, neck, occluder, background."""
