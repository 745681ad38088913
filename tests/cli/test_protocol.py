"""What a server reads before it knows what somebody wants has an end."""

import asyncio
import contextlib
import socket

import pytest
import uvicorn

from dragoman.cli.protocol import MAX_HEAD, LimitedHead

PATIENCE = 10.0


async def app(scope, receive, send):
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"6")]})
    await send({"type": "http.response.body", "body": b"%06d" % len(body)})


@pytest.fixture
async def connection():
    """An open connection to a server."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, http=LimitedHead, log_config=None, lifespan="off"))
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        reader, writer = await asyncio.open_connection(*listening.getsockname())
        yield reader, writer
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        server.should_exit = True
        await asyncio.wait_for(serving, PATIENCE)


async def status(reader: asyncio.StreamReader) -> int:
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)
    return int(head.split()[1])


@pytest.mark.parametrize(
    "piece",
    [pytest.param(b"x" * 1024, id="one header without end"), pytest.param(b"x: y\r\n" * 171, id="headers without end")],
)
async def test_headers_without_end_are_refused_soon(connection, piece: bytes):
    reader, writer = connection
    writer.write(b"GET / HTTP/1.1\r\nhost: localhost\r\nx-long: ")
    sent = 0
    with contextlib.suppress(ConnectionError):
        while not reader.at_eof() and sent < 100 * MAX_HEAD and not reader._buffer:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
            sent += len(piece)
    assert await status(reader) == 431
    assert sent < 100 * MAX_HEAD


async def test_a_large_body_is_no_head_and_neither_is_the_next_request(connection):
    reader, writer = connection
    for size in (500_000, 3, 500_000):
        writer.write(b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % size + b"x" * size)
        assert await status(reader) == 200
        assert await asyncio.wait_for(reader.readexactly(6), PATIENCE) == b"%06d" % size
