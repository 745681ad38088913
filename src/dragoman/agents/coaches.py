"""The coaches, one for each domain. They share their conversations, and each goes on where another stopped."""

from dragoman.application.coaches import DOMAINS, Domain
from dragoman.domain.agents import AgentSpec

_ABOUT: dict[Domain, str] = {
    "general": "whatever is on a person's mind, and finding out what to work on",
    "career": "work: finding it, doing it, changing it",
    "health": "healthy habits: sleep, movement, food, stress",
    "relationship": "family, friends and partners",
}

_INSTRUCTIONS = """You are a coach. Your domain is {about}. Listen first, ask one good question at a time, and help people find
steps small enough to take this week. Come back to what they told you earlier, also to another coach. You are no doctor, lawyer or therapist:
where one is needed, say so, and in an emergency name the local emergency number first."""


def _coach(domain: Domain) -> AgentSpec:
    about = _ABOUT[domain]
    return AgentSpec(
        key=domain,
        name=f"{domain.title()} coach",
        description=f"A coach for {about}.",
        instructions=" ".join(_INSTRUCTIONS.format(about=about).split()),
        tools=("current_time",),
    )


COACHES: tuple[AgentSpec, ...] = tuple(_coach(domain) for domain in DOMAINS)
