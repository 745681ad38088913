"""A model endpoint that keeps conversations: strict about what it is sent, and its memory is all its model knows."""

import contextlib
import json
from dataclasses import dataclass, field

from aiohttp import web

SSE = {"content-type": "text/event-stream"}


@dataclass
class Keeper:
    conversations: dict = field(default_factory=dict)  # items, by conversation
    asked: list = field(default_factory=list)  # bodies of requests for responses
    answers: list = field(default_factory=list)  # outputs to give, in order; then it tells what it has heard
    break_off: bool = False  # in the middle of the next answer, which it keeps all the same
    url: str = ""

    @contextlib.asynccontextmanager
    async def serving(self):
        app = web.Application()
        app.add_routes(
            [
                web.post("/v1/conversations", self._create),
                web.get("/v1/conversations/{id}/items", self._items),
                web.post("/v1/responses", self._respond),
            ]
        )
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        try:
            yield self
        finally:
            await runner.cleanup()

    def heard(self, id):
        """What a conversation consists of, in short."""
        return [_short(item) for item in self.conversations[id]]

    async def _create(self, request):
        body = await request.json()
        id = f"conv_{len(self.conversations) + 1}"
        self.conversations[id] = list(body.get("items") or ())
        return web.json_response({"id": id, "object": "conversation", "created_at": 0, "metadata": body["metadata"]})

    async def _items(self, request):
        items = self.conversations.get(request.match_info["id"])
        return _refused(404) if items is None else web.json_response({"object": "list", "data": items})

    async def _respond(self, request):
        body = await request.json()
        self.asked.append(body)
        assert body["stream"] is True
        name = body.get("conversation")
        if name is not None and name not in self.conversations:
            return _refused(404)
        known = [*self.conversations.get(name, ()), *body["input"]]
        if not _is_sound(known):
            return _refused(400)
        output = self.answers.pop(0) if self.answers else [said(f"I heard: {'; '.join(_texts(known))}")]
        output = [{**item, "id": f"item_{len(self.asked)}_{n}"} for n, item in enumerate(output)]
        if name is not None:
            self.conversations[name] = [*known, *output]
        return await self._stream(request, output)

    async def _stream(self, request, output):
        response = web.StreamResponse(headers=SSE)
        await response.prepare(request)
        whole = {"id": f"resp_{len(self.asked)}", "object": "response", "created_at": 0, "model": "m", "output": []}
        whole |= {"parallel_tool_calls": True, "tool_choice": "auto", "tools": []}
        events = [{"type": "response.created", "response": {**whole, "status": "in_progress"}}]
        for index, item in enumerate(output):
            events.append({"type": "response.output_item.added", "output_index": index, "item": item})
            events.append({"type": "response.output_item.done", "output_index": index, "item": item})
        events.append({"type": "response.completed", "response": {**whole, "status": "completed", "output": output}})
        if self.break_off:
            self.break_off = False
            del events[-1]
        for number, event in enumerate(events):
            event["sequence_number"] = number
            await response.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
        await response.write_eof()
        return response


def said(text):
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    return {"type": "message", "role": "assistant", "status": "completed", "content": [part]}


def called(call_id, name, **arguments):
    return {
        "type": "function_call",
        "call_id": call_id,
        "name": name,
        "arguments": json.dumps(arguments),
        "status": "completed",
    }


def _refused(status):
    error = {"message": "No.", "type": "invalid_request_error", "param": None, "code": None}
    return web.json_response({"error": error}, status=status)


def _is_sound(items):
    """Every call is answered once, after it was made; nothing is there twice."""
    calls = [item["call_id"] for item in items if item.get("type") == "function_call"]
    outputs = [item["call_id"] for item in items if item.get("type") == "function_call_output"]
    ids = [item["id"] for item in items if "id" in item]
    return sorted(calls) == sorted(outputs) and len(set(calls)) == len(calls) and len(set(ids)) == len(ids)


def _texts(items):
    return [_short(item) for item in items if item.get("role") == "user"]


def _short(item):
    content = item.get("content")
    if isinstance(content, list):
        return "".join(part["text"] for part in content)
    return content or f"{item['type']} {item.get('name') or item['output']}"
