"""Light out of the photos, so that what is left is the skin's own colour.

In: photos laid onto the surface. Out: the skin's tone, each photo's light as a smooth field on the mesh, and the smooth
albedo that all photos have in common (``consensus``); and a photo's detail without its highlights (``highlights``).
"""
