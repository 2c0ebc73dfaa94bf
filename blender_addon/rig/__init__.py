"""An armature for a head: bones placed from its own shape, weights, and who leads, the keys or the bones."""
