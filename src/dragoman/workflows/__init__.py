"""The workflows that come with the server."""
