"""The datasets read from databases, object stores and APIs: each module of this package declares one, as `DATASET`."""
