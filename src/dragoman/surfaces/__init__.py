"""Protocols: each parses requests into verbs and encodes logs into its own wire format. None knows another."""
