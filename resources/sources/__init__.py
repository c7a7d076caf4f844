"""Databases, object stores and REST APIs: one class per kind, and what makes their rows ready for a staging table."""
