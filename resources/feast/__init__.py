"""Feast: stores, registry, serving."""
