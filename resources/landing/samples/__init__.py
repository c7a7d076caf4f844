"""Sample files with the dirt of the real world, each with the truth about every line, for the demo and for tests."""
