"""One folder per method: data, losses, stage, evaluation."""
