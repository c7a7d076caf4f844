"""Clean hourly series: staging rows in, one row per sensor and hour out, with every doubt flagged."""
