"""Chat Completions: a whole dialogue in, one message out. Nothing is remembered from one request to the next."""
