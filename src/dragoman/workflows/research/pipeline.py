"""The workflow: plan, search side by side, write; once more where the writer says what is missing."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

from dragoman.application.workflows import Ending, Flow, Heard, Limits, Stage, Stopped, Workflow
from dragoman.domain.errors import BudgetExhausted, Invalid, ModelBroken, RunTimedOut, SearchFailed
from dragoman.domain.runs import Run, RunError, RunStatus
from dragoman.workflows.research.agents import AGENTS, PLAN, PLANNER, REPORT, SEARCHED, SEARCHER, WRITER
from dragoman.workflows.research.report import Draft, Query, Report, Search, plain_draft, report
from dragoman.workflows.research.sources import Earlier, Source, earlier, same_place, same_words, sources_of

MOST_SEARCHES = 20
DEEPEST = 3
LONGEST_QUERY = 400
PLANNED_BY, SEARCHED_BY = 0.5, 0.75
"""Which share of time and money may be used up when the plan is made, and when the searches are: writing needs the rest."""

LIMITS = frozenset({RunTimedOut.code, BudgetExhausted.code})
NO_WRITER = "The report could not be written; this is what the searches found."
NO_TIME = (
    "The limits of this research were reached before a report could be written; this is what was found until then."
)
STOPPED = "The research was stopped; this is what was found until then."
NOTHING = "Nothing was found."
COMPLAINT = "Your last answer was not usable: it must be the JSON object that was described, with a report in it. Write it again."


@dataclass(frozen=True, slots=True)
class Habit:
    """How research is done here, unless a request wants less."""

    searches: int = MOST_SEARCHES
    at_once: int = MOST_SEARCHES
    seconds: float | None = 600.0


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a request says about its research."""

    max_searches: int
    depth: int
    seconds: float | None
    budget: Decimal | None

    @classmethod
    def of(cls, options: dict[str, Any], habit: Habit) -> "Wishes":
        unknown = set(options) - {"max_searches", "depth", "budget", "max_seconds"}
        if unknown:
            raise Invalid(f"Research knows no option {min(unknown)!r}.", field="options")
        searches = _number(options, "max_searches", habit.searches, MOST_SEARCHES)
        depth = _number(options, "depth", 1, DEEPEST)
        given = [float(wish) for wish in (options.get("max_seconds"), habit.seconds) if wish is not None]
        budget = options.get("budget")
        return cls(
            min(searches, habit.searches), depth, min(given, default=None), None if budget is None else _money(budget)
        )


def _number(options: dict[str, Any], name: str, otherwise: int, most: int) -> int:
    number = options.get(name)
    if number is None:
        return otherwise
    if not isinstance(number, int) or not 1 <= number <= most:
        raise Invalid(f"{name} is a number from 1 to {most}.", field=f"options.{name}")
    return number


def _money(amount: Any) -> Decimal:
    try:
        money = Decimal(str(amount))
    except InvalidOperation:
        money = Decimal(-1)
    if not money.is_finite() or money < 0:
        raise Invalid("budget is an amount of money, in USD.", field="options.budget")
    return money


def research_workflow(habit: Habit | None = None) -> Workflow:
    habit = habit or Habit()

    def limits(run: Run) -> Limits:
        wishes = Wishes.of(run.options.workflow, habit)
        return Limits(wishes.seconds, wishes.budget)

    async def play(flow: Flow) -> Ending:
        return await _Research(flow, Wishes.of(flow.options, habit), habit.at_once, earlier(flow.history)).play()

    return Workflow(
        key="research",
        name="Research",
        play=play,
        agents=AGENTS,
        description="Plans searches, makes them side by side, and writes a report with sources.",
        limits=limits,
    )


@dataclass(slots=True)
class _Research:
    flow: Flow
    wishes: Wishes
    at_once: int
    known: Earlier
    queries: list[Query] = field(default_factory=list)
    searches: dict[int, Search] = field(default_factory=dict)  # by place in ``queries``: those that have ended
    limit: RunError | None = None  # the first that was reached
    written: int = 0

    async def play(self) -> Ending:
        try:
            return await self._work()
        except (Stopped, asyncio.CancelledError):
            if self.flow.waiting:
                raise
            return self._without_writer(STOPPED, RunStatus.CANCELLED)

    async def _work(self) -> Ending:
        await self._search(await self._plan())
        self._check_found()
        if not self._pool():
            return self._nothing_found()
        draft = await self._write()
        for _ in range(1, self.wishes.depth):
            if not isinstance(draft, Draft) or not (missing := self._new(draft.missing)):
                break
            await self._search(missing)
            again = await self._write()
            draft = again if isinstance(again, Draft) else draft
        if isinstance(draft, RunError):
            note = NO_TIME if draft.code in LIMITS else NO_WRITER
            return self._without_writer(note, RunStatus.INCOMPLETE, draft)
        return self._ending(self._report(draft))

    # plan --------------------------------------------------------------------------------------------------------

    async def _plan(self) -> list[Query]:
        asked = f"Question: {self.flow.question}\n\nPlan at most {self.wishes.max_searches} searches."
        if self.known.queries:
            asked += "\n\nSearched already: " + "; ".join(sorted(self.known.queries))
        heard = await self.flow.ask(
            Stage("plan", PLANNER, asked, PLAN, with_history=True, share=PLANNED_BY, about="planning the searches")
        )
        self._note_limit(heard)
        planned = heard.output.get("searches") if isinstance(heard.output, dict) else None
        queries = self._new(_queries(planned))
        if not queries and not self.known.sources:
            queries = self._new([Query(self.flow.question[:LONGEST_QUERY], "It is the question itself.")])
        return queries

    def _new(self, queries: Iterable[Query]) -> list[Query]:
        """Those that nobody has searched for, as many as are left."""
        seen = {*self.known.queries, *(same_words(query.query) for query in self.queries)}
        new: list[Query] = []
        for query in queries:
            if (words := same_words(query.query)) and words not in seen:
                seen.add(words)
                new.append(query)
        return new[: max(0, self.wishes.max_searches - len(self.queries))]

    # search ------------------------------------------------------------------------------------------------------

    async def _search(self, queries: Sequence[Query]) -> None:
        first = len(self.queries)
        self.queries += queries
        total = len(self.queries)
        stages = {f"search/{n + 1}": n for n in range(first, total)}

        def note(heard: Heard) -> None:
            place = stages[heard.stage.path]
            known = self.flow.finished(heard.stage.path)
            self.searches[place] = _search_of(self.queries[place], heard)
            self._note_limit(heard)
            if not known:
                self.flow.report(f"searched: {self.queries[place].query}", len(self.searches), total, heard.stage.path)

        await self.flow.ask_all(
            [
                Stage(
                    path,
                    SEARCHER,
                    f"Search for: {self.queries[n].query}\nReason: {self.queries[n].reason}",
                    SEARCHED,
                    share=SEARCHED_BY,
                    about=f"searching: {self.queries[n].query}",
                )
                for path, n in stages.items()
            ],
            at_once=self.at_once,
            each=note,
        )

    def _check_found(self) -> None:
        """Where no search could be made, and no limit is the reason, the run fails."""
        ended = list(self.searches.values())
        if ended and not self.known.sources and all(one.status == "failed" for one in ended) and self.limit is None:
            raise SearchFailed(f"None of {len(ended)} searches could be made.")

    def _pool(self) -> list[Source]:
        """All sources, each once: those of earlier reports, then those that were found, in the order of the plan."""
        pool: dict[str, Source] = {}
        found = [source for _, search in sorted(self.searches.items()) for source in search.sources]
        for source in (*self.known.sources, *found):
            known = pool.setdefault(same_place(source.url), source)
            if not known.quote and source.quote:
                pool[same_place(source.url)] = source
        return list(pool.values())

    # write -------------------------------------------------------------------------------------------------------

    async def _write(self) -> Draft | RunError:
        """A draft, or why there is none. A writer whose answer is of no use is asked once more."""
        failure = RunError(ModelBroken.code, ModelBroken.message)
        for complaint in ("", COMPLAINT):
            self.written += 1
            asked = "\n\n".join(filter(None, (self._material(), complaint)))
            about = "writing the report" if not complaint else "writing the report again"
            heard = await self.flow.ask(
                Stage(f"write/{self.written}", WRITER, asked, REPORT, with_history=True, about=about)
            )
            self._note_limit(heard)
            if draft := _draft(heard.output):
                return draft
            if heard.failure is not None and heard.failure.code != ModelBroken.code:
                return heard.failure
        return failure

    def _material(self) -> str:
        pool = self._pool()
        numbers = {same_place(source.url): n for n, source in enumerate(pool, 1)}
        parts = [f"Question: {self.flow.question}", "What the searches found:"]
        for _, search in sorted(self.searches.items()):
            if search.status != "done":
                parts.append(f"### {search.query.query}\n(This search could not be made.)")
                continue
            used = ", ".join(str(numbers[same_place(source.url)]) for source in search.sources)
            parts.append(f"### {search.query.query}\n{search.summary or NOTHING}\nSources: {used or 'none'}")
        parts.append("Sources:\n" + "\n".join(f"{n}. {source.line}" for n, source in enumerate(pool, 1)))
        return "\n\n".join(parts)

    # the end -----------------------------------------------------------------------------------------------------

    def _note_limit(self, heard: Heard) -> None:
        if self.limit is None and heard.failure is not None and heard.failure.code in LIMITS:
            self.limit = heard.failure

    def _report(self, draft: Draft) -> Report:
        return report(draft, self._all_searches(), self._pool())

    def _all_searches(self) -> list[Search]:
        """Those that were never made included."""
        return [self.searches.get(n) or Search(query, "cancelled") for n, query in enumerate(self.queries)]

    def _nothing_found(self) -> Ending:
        if self.limit is not None:
            return self._without_writer(NO_TIME, RunStatus.INCOMPLETE, self.limit)
        return self._without_writer(NOTHING, RunStatus.COMPLETED)

    def _without_writer(self, note: str, status: RunStatus, failure: RunError | None = None) -> Ending:
        draft = plain_draft(self.flow.question, note, self._all_searches(), self._pool())
        return self._ending(self._report(draft), status, failure)

    @staticmethod
    def _ending(made: Report, status: RunStatus = RunStatus.COMPLETED, failure: RunError | None = None) -> Ending:
        return Ending(made.output, made.text, status, failure)


def _queries(planned: Any) -> list[Query]:
    """What of a plan can be searched for."""
    made = [one for one in planned if isinstance(one, dict)] if isinstance(planned, list) else []
    pairs = [(_words(one.get("query")), _words(one.get("reason"))) for one in made]
    return [Query(query[:LONGEST_QUERY], reason) for query, reason in pairs if query]


def _words(value: Any) -> str:
    return " ".join(value.split()) if isinstance(value, str) else ""


def _search_of(query: Query, heard: Heard) -> Search:
    if heard.failure is not None:
        return Search(query, "failed", heard.seconds, heard.failure.code)
    sources = tuple(sources_of(heard))
    answered = [done.failed for done in heard.items if done.name == "tool_output"]
    if answered and all(answered) and not sources:  # the agent is well, what it searches with is not
        return Search(query, "failed", heard.seconds, SearchFailed.code)
    said = heard.output.get("summary") if isinstance(heard.output, dict) else heard.text
    return Search(query, "done", heard.seconds, None, said.strip() if isinstance(said, str) else "", sources)


def _draft(output: Any) -> Draft | None:
    """What a writer wrote, if it is a report."""
    if not isinstance(output, dict) or not isinstance(markdown := output.get("markdown_report"), str):
        return None
    if not markdown.strip():
        return None
    follow_ups = output.get("follow_up_questions")
    return Draft(
        short_summary=_words(output.get("short_summary")),
        markdown=markdown,
        follow_ups=tuple(q for q in follow_ups if isinstance(q, str)) if isinstance(follow_ups, list) else (),
        missing=tuple(_queries(output.get("missing"))),
    )
