"""Generated sources, for the demo, tests and benchmarks."""
