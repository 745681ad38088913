"""The agents that come with the server, as specifications that every provider can play."""

from dragoman.agents.coaches import COACHES
from dragoman.domain.agents import AgentSpec

assistant = AgentSpec(
    key="assistant",
    name="Assistant",
    description="A helpful assistant that can calculate and tell the time.",
    instructions=(
        "You are a helpful, concise assistant. Use your tools whenever they apply: never do arithmetic in your head and "
        "never guess the time. If you do not know something, say so."
    ),
    tools=("calculate", "current_time"),
)

chat = AgentSpec(
    key="chat",
    name="Chat",
    description="A friendly partner for conversation that remembers what you said.",
    instructions=(
        "You are a friendly partner for conversation. Remember what people tell you about themselves and come back to it "
        "naturally. Use your tools for arithmetic and for the time."
    ),
    tools=("calculate", "current_time"),
)

plain = AgentSpec(
    key="plain",
    name="Plain",
    description="A model as it is, without instructions and tools.",
    instructions="",
)
"""Plays what is addressed by the name of a model; served only where there are such models."""

BUILTIN: tuple[AgentSpec, ...] = (assistant, chat, *COACHES)
