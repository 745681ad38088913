"""Search over what was said in the caller's own conversations."""

from dragoman.domain.conversations import Conversation, Search, beginning, search_for, words_of
from dragoman.domain.items import Item, text_of
from dragoman.domain.tools import Tool, ToolContext, ToolError
from dragoman.ports.sessions import SessionStore
from dragoman.tools.decorator import tool

FOUND = 5
"""Conversations that one search tells of."""
QUOTED = 3
"""Messages that are quoted of each."""
QUOTE = 300
LOOKED_THROUGH = 500
"""How many of its newest items are looked through for messages to quote."""


def conversation_search(sessions: SessionStore) -> Tool:
    """The tool over a store. It finds what belongs to the principal of its run, and nothing else."""

    @tool
    async def search_conversations(context: ToolContext, query: str) -> str:  # noqa: D417
        """Search what this person said and was told in earlier conversations.

        Args:
            query: words that must all occur in one message or in a title
        """
        search = search_for(query)
        if search.empty:
            raise ToolError("Give at least one word to search for.")
        page = await sessions.list(context.principal, search=search, limit=FOUND)
        found = [await _told(sessions, context, one, search) for one in page.conversations]
        told = "\n\n".join(text for text in found if text)
        return told or f"Nothing was found for {query!r}. Fewer or other words may find more."

    return search_conversations


async def _told(sessions: SessionStore, context: ToolContext, conversation: Conversation, search: Search) -> str:
    """A conversation in a few lines; empty if nothing but the question itself was found in it."""
    page = await sessions.page(context.principal, conversation.id, limit=LOOKED_THROUGH)
    quotes = [_quoted(item) for item in page.items if item.run_id != context.run_id and _fits(item, search)]
    if not quotes and conversation.id == context.conversation_id:
        return ""
    title = conversation.title or "A conversation without a title"
    return "\n".join([f"{title} ({conversation.last_message_at:%Y-%m-%d})", *quotes[-QUOTED:]])


def _fits(item: Item, search: Search) -> bool:
    return item.kind == "message" and search.finds(words_of(text_of(item.content)))


def _quoted(item: Item) -> str:
    return f"- {item.role}: {beginning(text_of(item.content), QUOTE)}"
