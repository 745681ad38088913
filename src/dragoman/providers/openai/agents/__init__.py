"""Text agents: prepared once, played with the SDK's Runner, recorded as they go."""
