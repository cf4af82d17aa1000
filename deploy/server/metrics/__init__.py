"""Exporter of metrics: a process beside nginx and uWSGI, for Prometheus and for people."""
