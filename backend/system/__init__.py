"""Files, processes and threads: what the operating system gives."""
