"""Readers: a file of any kind becomes one table of text, with everything that is no row of it accounted for."""
