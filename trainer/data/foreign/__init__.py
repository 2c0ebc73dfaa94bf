"""Out-of-domain heads, of people that no model is trained on, for rendering with Cycles."""
