"""What the application needs from the world, as Protocols. Each promise stands in a docstring."""
