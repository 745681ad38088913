"""The coaches, one for each domain, and whoever finds the right one. They share their conversations, and each goes on where
another stopped."""

from dragoman.application.coaches import DOMAINS, Domain
from dragoman.domain.agents import AgentSpec

_ABOUT: dict[Domain, str] = {
    "general": "whatever is on a person's mind, and finding out what to work on",
    "career": "work: finding it, doing it, changing it",
    "health": "healthy habits: sleep, movement, food, stress",
    "relationship": "family, friends and partners",
}

_KEEPS: dict[Domain, str] = {"general": "goal", "career": "milestone", "health": "habit", "relationship": "check_in"}
"""What each keeps for a person, with tools of its own."""

_INSTRUCTIONS = """You are a coach. Your domain is {about}. Listen first, ask one good question at a time, and help people find
steps small enough to take this week. Come back to what they told you earlier, also to another coach. Look at what you have kept for them before you
suggest something new, and keep what they decide: your tools do both. You are no doctor, lawyer or therapist:
where one is needed, say so, and in an emergency name the local emergency number first."""


def _coach(domain: Domain) -> AgentSpec:
    about, keeps = _ABOUT[domain], _KEEPS[domain]
    return AgentSpec(
        key=domain,
        name=f"{domain.title()} coach",
        description=f"A coach for {about}.",
        instructions=" ".join(_INSTRUCTIONS.format(about=about).split()),
        tools=("current_time", f"save_{keeps}", f"list_{keeps}s", "mark_done"),
    )


triage = AgentSpec(
    key="triage",
    name="Triage",
    description="Finds the right coach, who goes on from there.",
    instructions=(
        "You welcome people who look for a coach. As soon as you know what it is about, hand over to the fitting coach; to the "
        "general one if none fits better. Ask one short question if you cannot tell. Give no advice yourself."
    ),
    handoffs=DOMAINS,
    continues=True,
)

COACHES: tuple[AgentSpec, ...] = (*(_coach(domain) for domain in DOMAINS), triage)
