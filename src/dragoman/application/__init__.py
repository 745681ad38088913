"""The verbs. They know the domain and the ports, and nothing of HTTP, SQL or any SDK."""
