"""Synthetic archive files with realistic cycles and planted, known defects, for the demo and for tests."""
