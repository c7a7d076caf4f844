"""Alerts in the graph: failed runs, silent sensors, and the sensor that has them told."""
