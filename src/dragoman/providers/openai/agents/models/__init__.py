"""Models of the SDK: those behind an endpoint, the built-in demo, and the journal that stands before any of them."""
