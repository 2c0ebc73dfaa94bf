"""The learned face model: identity, expression and reflectance bases on a deformation graph."""
