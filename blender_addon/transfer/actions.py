"""``objects.actions`` under the name by which scripts of users import it."""

from ..objects.actions import *  # noqa: F403
