"""Quality: what was read, what became of it, and how good it is."""
