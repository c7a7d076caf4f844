"""Staging: rows as received."""
