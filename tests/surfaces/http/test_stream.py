"""The streaming response itself, played against clients that are slow, silent or gone."""

import asyncio

import pytest

from dragoman.domain.errors import NotFound, StorageUnavailable
from dragoman.domain.events import Delta, Recorded, RunFailed
from dragoman.surfaces.http.stream import EventStream, unless_gone
from dragoman.surfaces.rest.wire import frames
from tests.surfaces.house import PATIENCE, parse

END = [Recorded(9, RunFailed("x", "y"))]


class Client:
    """Takes what is sent when it likes, and leaves when it likes."""

    def __init__(self, *, takes=True):
        self.left = asyncio.Event()
        self.takes = asyncio.Event()
        self.asked = asyncio.Event()
        self.body = b""
        self.messages = 0
        if takes:
            self.takes.set()

    async def receive(self):
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message):
        self.asked.set()
        await self.takes.wait()
        self.messages += 1
        self.body += message.get("body", b"")

    async def reads(self, follow, **options):
        stream = EventStream(follow, frames, **options)
        await asyncio.wait_for(stream({"type": "http"}, self.receive, self.send), PATIENCE)


async def follow(*batches, error=None, closed=None):
    try:
        for batch in batches:
            yield batch
        if error is not None:
            raise error
    finally:
        if closed is not None:
            closed.set()


async def test_all_frames_of_a_wake_up_are_one_message():
    client = Client()
    await client.reads(follow([Recorded(n, Delta("text", "a", output=n)) for n in range(5)], END))
    assert [frame.id for frame in parse(client.body.decode())] == [0, 1, 2, 3, 4, 9]
    assert client.messages == 5  # the head, the comment, two batches, the end


async def test_nothing_is_asked_of_the_log_before_the_client_has_taken_what_there_was():
    asked = 0

    async def eager():
        nonlocal asked
        for n in range(100):
            asked += 1
            yield [Recorded(n, Delta("text", "a"))]

    client = Client(takes=False)
    reading = asyncio.create_task(client.reads(eager()))
    await client.asked.wait()
    assert asked == 0
    client.takes.set()
    await reading
    assert asked == 100


async def test_a_client_that_leaves_while_nothing_happens_closes_its_reader():
    closed, waiting = asyncio.Event(), asyncio.Event()

    async def silent():
        try:
            waiting.set()
            await asyncio.Event().wait()
            yield END
        finally:
            closed.set()

    client = Client()
    reading = asyncio.create_task(client.reads(silent()))
    await waiting.wait()
    client.left.set()
    await reading
    assert closed.is_set()


async def test_a_client_that_leaves_without_having_read_closes_its_reader():
    closed = asyncio.Event()
    client = Client()
    batches = follow([Recorded(0, Delta("text", "a"))], END, closed=closed)
    original = client.send

    async def stuck(message):
        if b"delta" in message.get("body", b""):
            client.takes.clear()
            client.left.set()
        await original(message)

    client.send = stuck
    await client.reads(batches)
    assert closed.is_set()
    assert b"error" not in client.body


async def test_silence_is_broken_by_comments():
    async def slow():
        yield [Recorded(0, Delta("text", "a"))]
        await heard.wait()
        yield END

    heard = asyncio.Event()
    client = Client()
    original = client.send

    async def listening(message):
        await original(message)
        if client.body.count(b":\n\n") >= 4:
            heard.set()

    client.send = listening
    await client.reads(slow(), silence=0.01)
    assert parse(client.body.decode())[-1].event == "error"


@pytest.mark.parametrize("error", [None, StorageUnavailable()])
async def test_without_a_terminal_event_the_client_is_told_to_come_back(error):
    client = Client()
    await client.reads(follow([Recorded(0, Delta("text", "a"))], error=error))
    assert client.body.endswith(b"retry: 1000\n\n")


async def test_after_a_terminal_event_nothing_follows():
    client = Client()
    await client.reads(follow(END))
    assert client.body == b":\n\n" + frames(END)


async def test_a_run_that_is_gone_ends_its_stream_with_an_error():
    client = Client()
    await client.reads(follow([Recorded(4, Delta("text", "a"))], error=NotFound("run", "run_1")))
    last = parse(client.body.decode())[-1]
    assert (last.id, last.event, last.data["code"]) == (5, "error", "conversation_deleted")


async def test_work_is_cancelled_and_over_when_the_client_has_gone():
    client, over = Client(), asyncio.Event()

    async def work():
        client.left.set()
        try:
            await asyncio.Event().wait()
        finally:
            over.set()

    assert await asyncio.wait_for(unless_gone(client.receive, work()), PATIENCE) is None
    assert over.is_set()


async def test_work_that_ends_gives_its_result():
    async def work():
        return 42

    assert await unless_gone(Client().receive, work()) == 42
