"""Remove the light from the photos, so that the skin's albedo is left.

In: photos projected onto the surface. Out: the skin tone, each photo's light as a smooth field on the mesh, the smooth
albedo common to all photos (``consensus``), and each photo's detail without highlights (``highlights``).
"""
