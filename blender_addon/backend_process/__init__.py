"""The backend on this computer: find a Python, make its environment, start, find and stop it. No ``bpy`` here."""
