"""Databases, object stores and APIs that datasets are read from."""
