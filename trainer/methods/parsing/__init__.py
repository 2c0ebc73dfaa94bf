"""Parsing: the nets that label a photo's pixels, and the classifiers beside them."""
