"""The datasets that arrive in files: each module of this package declares one, as `DATASET`."""
