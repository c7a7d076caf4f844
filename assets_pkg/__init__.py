"""WHEN a table is computed, and FROM WHAT: the asset graph. May import `schemas`, `resources` and `feature_repo`."""
