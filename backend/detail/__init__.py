"""Wrinkles and pores: photos and a fitted face in, displacement maps out: one that is always there and one for each
group of shape keys."""
