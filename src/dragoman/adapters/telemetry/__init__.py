"""Logs: structured, for people or for machines."""
