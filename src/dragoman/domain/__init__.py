"""The nouns and their rules. Standard library only: no framework, no SDK, no I/O."""
