"""OpenAQ: API v3 and the public archive behind one resource. Knows nothing of databases or Dagster's graph."""
