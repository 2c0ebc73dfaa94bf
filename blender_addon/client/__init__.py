"""Client of the backend's ZeroMQ protocol (docs/protocol.md), on a background thread. No ``bpy`` here."""
