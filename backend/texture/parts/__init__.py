"""Paint what is not plain skin: eyes, mouth, lashes, brows that no photo shows, and hair roots on the scalp.

In: positions of texels, and what the photos show of these parts. Out: linear colours at the texels, or skin with the
part painted on it.
"""
