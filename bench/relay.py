"""The floor: aiohttp passes each token of the model on as one frame of ours. No agent, no memory, nothing durable.

``python -m bench.relay PORT``
"""

import os
import sys

import aiohttp
import orjson
import uvloop
from aiohttp import web

_DELTA = (
    b"id: %d\nevent: raw_response\n"
    b'data: {"type":"raw_response","event_type":"response.output_text.delta","delta":%b}\n\n'
)
_COMPLETE = (
    b'id: %d\nevent: stream_complete\ndata: {"type":"stream_complete","status":"completed","final_output":%b}\n\n'
)
_HEADERS = {"content-type": "text/event-stream", "cache-control": "no-cache"}
_UPSTREAM = web.AppKey("upstream", aiohttp.ClientSession)


async def stream(request: web.Request) -> web.StreamResponse:
    asked = orjson.loads(await request.read())
    body = orjson.dumps(
        {"model": "bench", "stream": True, "messages": [{"role": "user", "content": asked["input"]}]},
    )
    response = web.StreamResponse(headers=_HEADERS)
    await response.prepare(request)
    said: list[str] = []
    async with request.app[_UPSTREAM].post("/v1/chat/completions", data=body) as answer:
        async for line in answer.content:
            if not line.startswith(b"data: {"):
                continue
            for choice in orjson.loads(line[6:])["choices"]:
                if text := choice["delta"].get("content"):
                    said.append(text)
                    await response.write(_DELTA % (len(said), orjson.dumps(text)))
    await response.write(_COMPLETE % (len(said) + 1, orjson.dumps("".join(said))))
    await response.write_eof()
    return response


async def livez(_: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


async def _upstream(app: web.Application) -> None:
    app[_UPSTREAM] = aiohttp.ClientSession(
        os.environ["OPENAI_BASE_URL"].removesuffix("/v1"),
        connector=aiohttp.TCPConnector(limit=0),
        headers={"content-type": "application/json"},
    )


async def _close(app: web.Application) -> None:
    await app[_UPSTREAM].close()


def main(port: int) -> None:
    app = web.Application()
    app.add_routes([web.get("/livez", livez), web.post("/stream", stream)])
    app.on_startup.append(_upstream)
    app.on_cleanup.append(_close)
    web.run_app(app, host="127.0.0.1", port=port, access_log=None, print=None, loop=uvloop.new_event_loop())


if __name__ == "__main__":
    main(int(sys.argv[1]))
