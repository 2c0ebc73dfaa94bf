"""Bakes assets/template.safetensors out of MakeHuman's CC0 data and the registered scans."""
