"""The backend on this computer: find a Python, create its environment, start, find and stop the server. No ``bpy``."""
