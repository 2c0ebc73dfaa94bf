"""What synthetic people wear, grow and hold."""
