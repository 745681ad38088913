"""Conversations in memory, as their owner and their next turn read them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from itertools import islice, takewhile

from dragoman.adapters.memory.state import State
from dragoman.domain.audit import AuditEntry, about
from dragoman.domain.conversations import (
    START,
    Branch,
    Change,
    Comparison,
    Conversation,
    ConversationStatus,
    Search,
    bookmark,
    findable,
    place_of,
    preview_of,
    title_from,
    words_of,
)
from dragoman.domain.errors import ConversationBusy, Invalid, NameTaken, NotFound, OnHold
from dragoman.domain.events import AgentUpdated
from dragoman.domain.identity import Principal
from dragoman.domain.ids import branch_id
from dragoman.domain.items import WITHHELD, Item, NewItem
from dragoman.domain.runs import Run
from dragoman.ports.sessions import BUSY, BranchPage, ConversationPage, ItemPage


@dataclass(frozen=True, slots=True)
class MemorySessions:
    """``SessionStore``."""

    state: State

    async def history(self, principal: Principal, item_id: str | None, limit: int) -> Sequence[Item]:
        conversation = self.state.conversations.get(self.state.places.get(item_id or "", ""))
        if conversation is None or (conversation.tenant, conversation.owner) != (principal.tenant, principal.user):
            return ()
        shown = (item for item in self._path(conversation.id, item_id) if item.status not in WITHHELD)
        return _oldest_first(shown, limit)

    async def end_of(self, principal: Principal, run: Run) -> str | None:
        conversation = self.state.conversations.get(run.conversation_id or "")
        if conversation is None or (conversation.tenant, conversation.owner) != (principal.tenant, principal.user):
            return None
        items = self.state.items[conversation.id].values()
        return next((item.id for item in reversed(items) if item.run_id == run.id), None)

    async def create(self, conversation: Conversation) -> Conversation:
        if (conversation.tenant, conversation.owner, conversation.key) in self.state.names:
            raise NameTaken
        self.state.keep(conversation)
        if conversation.title:
            self.state.titles[conversation.id] = words_of(conversation.title)
        return conversation

    async def find(self, principal: Principal, name: str) -> Conversation:
        return self.state.conversation(principal, name)

    async def list(
        self,
        principal: Principal,
        *,
        search: Search | None = None,
        status: ConversationStatus | None = None,
        agent: str | None = None,
        tag: str | None = None,
        after: str | None = None,
        limit: int = 20,
    ) -> ConversationPage:
        found = [
            conversation
            for conversation in self.state.conversations.values()
            if (conversation.tenant, conversation.owner) == (principal.tenant, principal.user)
            and conversation.status != "hidden"
            and status in (None, conversation.status)
            and agent in (None, conversation.agent)
            and (tag is None or tag in conversation.tags)
            and (search is None or self._finds(search, conversation))
        ]
        if after is not None:
            place = place_of(after)
            found = [conversation for conversation in found if _recent(conversation) < place]
        found.sort(key=_recent, reverse=True)
        page = tuple(self.state.conversation(principal, conversation.id) for conversation in found[:limit])
        return ConversationPage(page, next=bookmark(page[-1]) if len(found) > limit else None)

    async def speakers(self, principal: Principal, conversation_ids: Sequence[str]) -> Mapping[str, str]:
        found: dict[str, str] = {}
        for id in conversation_ids:
            conversation = self.state.conversations.get(id)
            if conversation is None or (conversation.tenant, conversation.owner) != (principal.tenant, principal.user):
                continue
            head = self._branch(conversation, None, field="branch").head
            run = self.state.runs.get(self.state.items[id][head].run_id or "") if head else None
            if run is not None:
                found[id] = self._last_agent(run)
        return found

    def _last_agent(self, run: Run) -> str:
        """The one that was asked, or the last that took over."""
        agent = run.agent
        for row in self.state.logs[run.id]:
            for recorded in row.events():
                if isinstance(recorded.event, AgentUpdated):
                    agent = recorded.event.agent
        return agent

    async def change(self, principal: Principal, name: str, change: Change) -> Conversation:
        conversation = self.state.conversation(principal, name)
        self._branch(conversation, change.branch, field="branch")
        given = {field.name: value for field in fields(change) if (value := getattr(change, field.name)) is not None}
        self.state.conversations[conversation.id] = replace(conversation, updated_at=datetime.now(UTC), **given)
        if change.title is not None:
            self.state.titles[conversation.id] = words_of(change.title)
        return self.state.conversation(principal, conversation.id)

    async def page(
        self,
        principal: Principal,
        name: str,
        *,
        limit: int,
        before: str | None = None,
        after: str | None = None,
        branch: str | None = None,
    ) -> ItemPage:
        conversation = self.state.conversation(principal, name)
        newest = self._branch(conversation, branch, field="branch").head
        if after is not None:
            return self._page_after(conversation, newest, after, limit)
        if before is not None:
            item = self.state.items[conversation.id].get(before)
            if item is None:
                raise Invalid("There is no such item in this conversation.", field="before")
            newest = item.parent
        items = _oldest_first(self._path(conversation.id, newest), limit)
        return ItemPage(conversation, items, has_more=bool(items) and items[0].parent is not None)

    def _page_after(self, conversation: Conversation, newest: str | None, after: str, limit: int) -> ItemPage:
        items = [*self._path(conversation.id, newest)][::-1]
        if after != START:
            place = next((i for i, item in enumerate(items) if item.id == after), None)
            if place is None:
                raise Invalid("There is no such item in this conversation.", field="after")
            items = items[place + 1 :]
        return ItemPage(conversation, tuple(items[:limit]), has_more=len(items) > limit)

    async def item(self, principal: Principal, name: str, item_id: str) -> Item:
        conversation = self.state.conversation(principal, name)
        item = self.state.items[conversation.id].get(item_id)
        if item is None:
            raise NotFound("item", item_id)
        return item

    async def add(self, principal: Principal, name: str, items: Sequence[NewItem]) -> Sequence[Item]:
        conversation = self._idle(principal, name)
        self.state.grow(conversation.id, conversation.branch, None, items)
        title = conversation.title or title_from(item.content for item in items)
        grown = self.state.conversations[conversation.id]
        self.state.conversations[conversation.id] = replace(grown, title=title, status="active")
        return [self.state.items[conversation.id][item.id] for item in items]

    async def remove(self, principal: Principal, name: str, item_id: str) -> Conversation:
        state, conversation = self.state, self._idle(principal, name)
        item = await self.item(principal, name, item_id)
        if conversation.hold:
            raise OnHold
        items, branches = state.items[conversation.id], state.branches[conversation.id]
        for child in [child for child in items.values() if child.parent == item.id]:
            items[child.id] = replace(child, parent=item.parent)
        for branch in [branch for branch in branches.values() if branch.head == item.id]:
            branches[branch.id] = replace(branch, head=item.parent)
        for run in [run for run in state.runs.values() if run.base_item == item.id]:
            state.runs[run.id] = replace(run, base_item=item.parent)
        del items[item.id], state.places[item.id]
        state.words[conversation.id].remove(findable(item.content))
        state.elsewhere.pop(conversation.id, None)
        state.conversations[conversation.id] = replace(conversation, updated_at=datetime.now(UTC))
        return state.conversation(principal, conversation.id)

    def _idle(self, principal: Principal, name: str) -> Conversation:
        """A conversation in which no run is unfinished."""
        conversation = self.state.conversation(principal, name)
        if self.state.unfinished_in(conversation.id):
            raise ConversationBusy(BUSY)
        return conversation

    async def fork(self, principal: Principal, name: str, at: str) -> Branch:
        conversation = self.state.conversation(principal, name)
        self.state.item_at(conversation.id, at, field="at")
        head = None if at == START else at
        branch = self.state.begin_branch(conversation.id, branch_id(), head, datetime.now(UTC))
        return self._shown(branch)

    async def branches(
        self, principal: Principal, name: str, *, after: str | None = None, limit: int = 20
    ) -> BranchPage:
        conversation = self.state.conversation(principal, name)
        branches = self.state.branches[conversation.id].values()
        found = sorted((b for b in branches if after is None or b.id < after), key=lambda b: b.id, reverse=True)
        page = tuple(self._shown(branch) for branch in found[:limit])
        return BranchPage(page, next=page[-1].id if len(found) > limit else None)

    async def compare(
        self, principal: Principal, name: str, branch: str | None, other: str, *, limit: int
    ) -> Comparison:
        conversation = self.state.conversation(principal, name)
        one = self._branch(conversation, branch, field="branch")
        two = self._branch(conversation, other, field="other")
        shared = {item.id for item in self._path(conversation.id, two.head)}
        common = next((item for item in self._path(conversation.id, one.head) if item.id in shared), None)

        def since(head: str | None) -> Iterator[Item]:
            return takewhile(lambda item: item != common, self._path(conversation.id, head))

        return Comparison(
            common=common,
            branch=one.id,
            items=_oldest_first(since(one.head), limit),
            other=two.id,
            other_items=_oldest_first(since(two.head), limit),
        )

    async def put_away(self, before: datetime, limit: int) -> int:
        idle = [each for each in self._unused(before) if each.status == "active"][:limit]
        for conversation in idle:
            self.state.conversations[conversation.id] = replace(conversation, status="inactive")
        return len(idle)

    async def remove_old(self, before: datetime, limit: int) -> int:
        old = [each for each in self._unused(before) if not self.state.unfinished_in(each.id)][:limit]
        for conversation in old:
            self.state.forget(conversation)
        return len(old)

    async def hold(self, tenant: str, conversation_id: str, hold: bool, entry: AuditEntry) -> Conversation:
        found = self.state.conversations.get(conversation_id)
        if found is None or found.tenant != tenant:
            raise NotFound("conversation", conversation_id)
        if found.hold != hold:
            self.state.conversations[found.id] = replace(found, hold=hold)
            self.state.audit.append(about(entry, found.owner))
        return self.state.conversation(Principal(found.owner, tenant), found.id)

    async def delete(self, principal: Principal, name: str) -> Sequence[str]:
        conversation = self.state.conversation(principal, name)
        if conversation.hold:
            raise OnHold
        return self.state.forget(conversation)

    def _unused(self, before: datetime) -> Sequence[Conversation]:
        return [each for each in self.state.conversations.values() if each.last_message_at < before and not each.hold]

    def _path(self, conversation_id: str, item_id: str | None) -> Iterator[Item]:
        """From an item up to the root."""
        while item_id is not None:
            item = self.state.items[conversation_id][item_id]
            yield item
            item_id = item.parent

    def _branch(self, conversation: Conversation, branch: str | None, *, field: str) -> Branch:
        found = self.state.branches[conversation.id].get(branch or conversation.branch)
        if found is None:
            raise Invalid("There is no such branch in this conversation.", field=field)
        return found

    def _shown(self, branch: Branch) -> Branch:
        """With what was said last on it."""
        said = (item.content for item in self._path(branch.conversation_id, branch.head) if item.kind == "message")
        current = self.state.conversations[branch.conversation_id].branch == branch.id
        return replace(branch, preview=preview_of(next(said, {})), current=current)

    def _finds(self, search: Search, conversation: Conversation) -> bool:
        title = self.state.titles.get(conversation.id, ())
        return any(search.finds(words) for words in (title, *self.state.words[conversation.id]))


def _recent(conversation: Conversation) -> tuple[datetime, str]:
    return conversation.last_message_at, conversation.id


def _oldest_first(newest_first: Iterator[Item], limit: int) -> tuple[Item, ...]:
    return tuple(reversed([*islice(newest_first, limit)]))
