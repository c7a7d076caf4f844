"""Columns: text first, types second; each column's type and way of writing is found, recorded and applied in SQL."""
