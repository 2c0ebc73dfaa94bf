"""The service: a ZeroMQ server that takes photos and sends heads back (docs/protocol.md)."""
