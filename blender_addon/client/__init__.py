"""Talking to the backend over ZeroMQ (docs/protocol.md) from a thread of its own. No ``bpy`` here."""
