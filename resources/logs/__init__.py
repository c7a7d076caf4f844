"""Structured logs: one JSON object per line, shared by all processes, without secrets."""
