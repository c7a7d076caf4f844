"""Features: tables that models are trained on, computed from the clean time series as of an event time."""
