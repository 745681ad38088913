"""What every HTTP protocol shares: the application around it, errors, streams, health and measures."""
