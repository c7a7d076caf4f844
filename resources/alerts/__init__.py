"""Alerts: what is wrong, kept in the database, and told to people over channels they chose."""
