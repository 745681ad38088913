"""The rules of the demo model: one table, asked in order; the first that knows something answers."""

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from dragoman.domain.memory import INSTRUCTIONS
from dragoman.providers.openai.agents.models.demo import memory
from dragoman.providers.openai.agents.models.demo.commands import commands
from dragoman.providers.openai.agents.models.demo.question import HandoffOffer, Question, ToolOffer
from dragoman.providers.openai.agents.models.demo.research import research
from dragoman.providers.openai.agents.models.demo.schema import instance
from dragoman.providers.openai.agents.models.demo.steps import Call, Say, Step

Rule = Callable[[Question], Sequence[Step] | None]

INTRODUCTION = (
    "I am the built-in demo model: simple rules, no intelligence, but tools, memory and streaming are real. "
    "Set OPENAI_API_KEY and AI_MODEL to talk to a real one.\n\n"
)

_ARITHMETIC = re.compile(
    r"(?<![\w.])[-+(]*(?:sqrt\(|\d)[\d\s.+\-*/%^()\u00d7\u00f7\u00b7]*(?:sqrt\([\d\s.+\-*/%^()]*)*[\d)]"
)
_OPERATOR = re.compile(r"[\d)]\s*(?:\*\*|//|[-+*/%^\u00d7\u00f7\u00b7])\s*[-(]*(?:sqrt|\d)|sqrt\(")
_DATE = re.compile(r"\b\d{4}-\d{2}-\d{2}\b|\b\d{1,2}/\d{1,2}/\d{2,4}\b")
_SPOKEN = (("divided by", "/"), ("multiplied by", "*"), ("times", "*"), ("plus", "+"), ("minus", "-"))
_TIME = re.compile(
    r"\bwhat(?:'s| is)? (?:the )?(?:current )?(?:time|date|day)\b|\bwhat time\b|\b(?:current|local) (?:time|date)\b"
    r"|\bwhich day\b|\bwhat day\b|\btoday's date\b|\btime (?:is it|in)\b",
    re.IGNORECASE,
)
_ZONE = re.compile(r"\b([A-Z][A-Za-z]+/[A-Z][A-Za-z_]+)\b")
_ZONES = {
    "amsterdam": "Europe/Amsterdam",
    "berlin": "Europe/Berlin",
    "chicago": "America/Chicago",
    "delhi": "Asia/Kolkata",
    "istanbul": "Europe/Istanbul",
    "london": "Europe/London",
    "los angeles": "America/Los_Angeles",
    "madrid": "Europe/Madrid",
    "new york": "America/New_York",
    "paris": "Europe/Paris",
    "rome": "Europe/Rome",
    "san francisco": "America/Los_Angeles",
    "shanghai": "Asia/Shanghai",
    "singapore": "Asia/Singapore",
    "sydney": "Australia/Sydney",
    "tokyo": "Asia/Tokyo",
}
_GREETING = re.compile(r"^\W*(?:hi|hello|hey|good (?:morning|afternoon|evening)|hallo|hola|bonjour)\b", re.IGNORECASE)
_THANKS = re.compile(r"\b(?:thanks|thank you)\b", re.IGNORECASE)
_HELP = re.compile(r"\bhelp\b|\bwhat can you do\b|\bwho are you\b|\bwhat are you\b", re.IGNORECASE)
_FARE_WELL = re.compile(r"\b(?:bye|goodbye|see you)\b", re.IGNORECASE)
_WORD = re.compile(r"[a-z]{3,}")
_DULL = frozenset(
    [
        "about",
        "after",
        "agent",
        "agents",
        "all",
        "and",
        "any",
        "are",
        "ask",
        "assistant",
        "asks",
        "call",
        "can",
        "current",
        "does",
        "doing",
        "expert",
        "for",
        "from",
        "general",
        "get",
        "give",
        "handles",
        "handle",
        "handoff",
        "has",
        "have",
        "help",
        "helps",
        "her",
        "his",
        "how",
        "into",
        "its",
        "just",
        "know",
        "let",
        "like",
        "make",
        "need",
        "needs",
        "not",
        "now",
        "off",
        "one",
        "out",
        "please",
        "question",
        "questions",
        "request",
        "requests",
        "run",
        "should",
        "show",
        "some",
        "something",
        "specialist",
        "specialized",
        "tell",
        "that",
        "the",
        "their",
        "them",
        "then",
        "there",
        "these",
        "they",
        "this",
        "tool",
        "tools",
        "transfer",
        "use",
        "user",
        "users",
        "using",
        "want",
        "what",
        "when",
        "where",
        "which",
        "who",
        "will",
        "with",
        "would",
        "you",
        "your",
    ]
)
_ARGUMENT = re.compile(r"\b(?:in|for|of|about|on|to|at|from)\s+([^?.!,\n]+)", re.IGNORECASE)
_QUOTED = re.compile(r"[\"“']([^\"”']+)[\"”']")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def answer(question: Question) -> list[Step]:
    """What the demo model does about a question."""
    for rule in RULES:
        if steps := rule(question):
            return _introduced(question, list(steps))
    return _introduced(question, [Say(_at_a_loss(question))])


def _introduced(question: Question, steps: list[Step]) -> list[Step]:
    """Its first words in a conversation say what it is, unless somebody else decided the words."""
    if not question.first or question.schema or _commanded(question) or not isinstance(steps[0], Say):
        return steps
    return [Say(INTRODUCTION + steps[0].text), *steps[1:]]


# Rules ---------------------------------------------------------------------------------------------------------------


def _commanded(question: Question) -> Sequence[Step] | None:
    return commands(question.text, question.calls_made)


def _report(question: Question) -> Sequence[Step] | None:
    """Tools have answered: say so, in words or in the shape that is asked for."""
    if not question.results:
        return None
    reports = [_reported(result.tool, result.arguments, result.output) for result in question.results]
    text = reports[0] if len(reports) == 1 else "\n".join(f"- {report}" for report in reports)
    return _shaped(question, text)


def _fill_schema(question: Question) -> Sequence[Step] | None:
    if question.schema is None or _wants_tool(question) or _wants_handoff(question):
        return None
    return _shaped(question, question.text)


def _summarize(question: Question) -> Sequence[Step] | None:
    """What a person has told, sentence by sentence; and the summary there was."""
    if question.instructions != INSTRUCTIONS:
        return None
    told = dict.fromkeys(memory.sentences(question.text))
    return [Say("\n".join(told) or "Nothing that has to be kept was said.")]


def _recall(question: Question) -> Sequence[Step] | None:
    wanted = memory.asked_for(question.text)
    if wanted is None:
        return None
    facts = memory.told([*question.said, question.text])
    if wanted == "*":
        return [Say(_everything(facts))]
    if wanted in facts:
        return [Say(f"You told me: your {wanted} is {facts[wanted]}.")]
    return [Say(f"You have not told me your {wanted} yet, at least not in this conversation.")]


def _calculate(question: Question) -> Sequence[Step] | None:
    tool = question.tool("calculate")
    expression = _expression(question.text)
    return [Call.of("calculate", expression=expression)] if tool and expression else None


def _tell_time(question: Question) -> Sequence[Step] | None:
    if question.tool("current_time") is None or not _TIME.search(question.text):
        return None
    zone = _zone(question.text)
    return [Call.of("current_time", timezone=zone)] if zone else [Call("current_time")]


def _use_tool(question: Question) -> Sequence[Step] | None:
    """Any other tool whose name or description sounds like what is wanted."""
    others = [tool for tool in question.tools if tool.name not in ("calculate", "current_time")]
    best = max(others, key=lambda tool: _likeness(question.text, tool.name, tool.description), default=None)
    if best is None or _likeness(question.text, best.name, best.description) == 0:
        return None
    return [Call(best.name, json.dumps(_arguments(best, question.text), ensure_ascii=False))]


def _hand_over(question: Question) -> Sequence[Step] | None:
    """To the specialist whose description fits best; never twice for one message."""
    if question.handed_over:
        return None
    best = max(question.handoffs, key=lambda offer: _fit(question.text, offer), default=None)
    return [Call(best.tool)] if best and _fit(question.text, best) else None


def _take_note(question: Question) -> Sequence[Step] | None:
    facts = memory.new_facts(question.text)
    if not facts:
        return None
    if "name" in facts:
        return [Say(f"Nice to meet you, {facts['name']}. I will remember {_listed(facts)}.")]
    return [Say(f"Noted. I will remember {_listed(facts)}.")]


def _be_polite(question: Question) -> Sequence[Step] | None:
    text = question.text
    name = memory.told(question.said).get("name")
    to_whom = f", {name}" if name else ""
    if _HELP.search(text):
        return [Say(_abilities(question))]
    if _THANKS.search(text):
        return [Say(f"You are welcome{to_whom}!")]
    if _FARE_WELL.search(text):
        return [Say(f"Goodbye{to_whom}!")]
    if _GREETING.search(text):
        return [Say(f"Hello{to_whom}! {_abilities(question)}")]
    return None


RULES: tuple[Rule, ...] = (
    _summarize,
    _commanded,
    research,
    _report,
    _fill_schema,
    _recall,
    _calculate,
    _tell_time,
    _use_tool,
    _hand_over,
    _take_note,
    _be_polite,
)
"""In this order. What is added later is a line here."""


# Words ---------------------------------------------------------------------------------------------------------------


def _reported(tool: str, arguments: str, output: str) -> str:
    given = _json(arguments)
    match tool, given:
        case "calculate", {"expression": str(expression)} if _NUMBER.fullmatch(output):
            return f"{expression} = {output}"
        case "current_time", _ if "UTC" in output:
            return f"It is {output}."
    return f"{tool} says: {output}"


def _shaped(question: Question, text: str) -> Sequence[Step]:
    if question.schema is None:
        return [Say(text)]
    return [Say(json.dumps(instance(question.schema, text), ensure_ascii=False))]


def _everything(facts: dict[str, str]) -> str:
    return f"You told me {_listed(facts)}." if facts else "You have not told me anything about yourself yet."


def _listed(facts: dict[str, str]) -> str:
    told = [value if key.startswith("note: ") else f"that your {key} is {value}" for key, value in facts.items()]
    return told[0] if len(told) == 1 else f"{', '.join(told[:-1])} and {told[-1]}"


def _abilities(question: Question) -> str:
    can = ["remember what you tell me (try “my name is Sarah”)"]
    if question.tool("calculate"):
        can.append("do arithmetic (“what is 12*7?”)")
    if question.tool("current_time"):
        can.append("tell the time (“what time is it in Tokyo?”)")
    can.extend(f"use {tool.name}" for tool in question.tools if tool.name not in ("calculate", "current_time"))
    can.extend(f"hand over to {offer.agent}" for offer in question.handoffs)
    return f"I can {', '.join(can[:-1])} and {can[-1]}." if len(can) > 1 else f"I can {can[0]}."


def _at_a_loss(question: Question) -> str:
    if not question.text.strip():
        return f"You did not say anything. {_abilities(question)}"
    quoted = question.text if len(question.text) <= 200 else f"{question.text[:200]}…"
    return f"You said: “{quoted}” A real model would have an answer to that. {_abilities(question)}"


# Reading -------------------------------------------------------------------------------------------------------------


def _wants_tool(question: Question) -> bool:
    return not question.results and any(rule(question) for rule in (_calculate, _tell_time, _use_tool))


def _wants_handoff(question: Question) -> bool:
    return bool(_hand_over(question))


def _expression(text: str) -> str | None:
    spoken = _DATE.sub(" ", text.lower())
    for words, sign in _SPOKEN:
        spoken = re.sub(rf"(?<=[\d)])\s+{words}\s+(?=[-(\d])", sign, spoken)
    for match in _ARITHMETIC.finditer(spoken):
        expression = match[0].strip()
        if _OPERATOR.search(expression):
            return _balanced(expression)
    return None


def _balanced(expression: str) -> str:
    """Without the parentheses of the sentence around it."""
    while expression.count("(") > expression.count(")") and expression.startswith("("):
        expression = expression[1:]
    while expression.count(")") > expression.count("(") and expression.endswith(")"):
        expression = expression[:-1]
    return expression


def _zone(text: str) -> str | None:
    if match := _ZONE.search(text):
        return match[1]
    return next((zone for place, zone in _ZONES.items() if place in text.lower()), None)


def _likeness(text: str, *descriptions: str) -> int:
    """How many telling words a text shares with a description; a plural is its singular."""
    return len(_words(text) & _words(" ".join(descriptions)))


def _fit(text: str, offer: HandoffOffer) -> int:
    return _likeness(text, offer.agent, offer.description)


def _words(text: str) -> set[str]:
    return {word.removesuffix("s") for word in _WORD.findall(text.lower().replace("_", " ")) if word not in _DULL}


def _arguments(tool: ToolOffer, text: str) -> dict[str, object]:
    """Arguments for a tool, guessed from a message: good enough to show that the tool works."""
    schema, numbers = tool.parameters, iter(_NUMBER.findall(text))
    required = schema.get("required", list(schema.get("properties", {})))
    given: dict[str, object] = {}
    for name, described in schema.get("properties", {}).items():
        part, nullable = _not_null(described)
        if part.get("type") in ("integer", "number") and (number := next(numbers, None)):
            given[name] = float(number) if part["type"] == "number" else int(float(number))
        elif part.get("enum") and (named := [v for v in part["enum"] if str(v).lower() in text.lower()]):
            given[name] = named[0]
        elif name in required and not nullable:
            given[name] = instance({**part, "$defs": schema.get("$defs", {})}, _topic(text))
    return given


def _not_null(part: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """A part of a schema without the null that stands for an argument left out, and whether it had one."""
    choices = part.get("anyOf", ())
    others = [choice for choice in choices if choice.get("type") != "null"]
    return (others[0] if len(others) == 1 else part), len(others) < len(choices)


def _topic(text: str) -> str:
    if match := _QUOTED.search(text):
        return match[1]
    if matches := _ARGUMENT.findall(text):
        topic: str = matches[-1]
        return topic.strip()
    return text.strip()


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return None
