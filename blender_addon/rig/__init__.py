"""Armature of a head: bones placed from the head's own shape, weights, and whether keys or bones lead."""
