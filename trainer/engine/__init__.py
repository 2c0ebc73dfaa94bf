"""Training itself, whatever the method: recipe, loop, checkpoints, logs."""
