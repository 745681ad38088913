"""Implementations of ``ports.identity.Authenticator``: nobody is asked, or everybody shows a bearer token."""
