"""What people write today: FastAPI, the SDK's Runner with its stock model, and its SQLite session.

``python -m bench.baseline PORT``
"""

import json
import os
import sys
from collections.abc import AsyncIterator

import uvicorn
from agents import OpenAIChatCompletionsModel, RunConfig, Runner, SQLiteSession, set_tracing_disabled
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from openai import AsyncOpenAI
from openai.types.responses import ResponseTextDeltaEvent
from pydantic import BaseModel

from bench.agent import agent

set_tracing_disabled(disabled=True)
app = FastAPI()
client = AsyncOpenAI()  # OPENAI_BASE_URL and OPENAI_API_KEY
run_config = RunConfig(model=OpenAIChatCompletionsModel(os.environ["AI_MODEL"], client))


class ChatRequest(BaseModel):
    input: str
    session_id: str


@app.get("/livez")
async def livez() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/stream")
async def stream(request: ChatRequest) -> StreamingResponse:
    session = SQLiteSession(request.session_id, os.environ["SESSION_DB_PATH"])
    result = Runner.run_streamed(agent, request.input, session=session, run_config=run_config)

    async def events() -> AsyncIterator[str]:
        async for event in result.stream_events():
            if event.type == "raw_response_event" and isinstance(event.data, ResponseTextDeltaEvent):
                yield f"data: {json.dumps({'type': 'delta', 'delta': event.data.delta})}\n\n"
        yield f"data: {json.dumps({'type': 'done', 'final_output': result.final_output})}\n\n"

    return StreamingResponse(events(), media_type="text/event-stream")


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), loop="uvloop", http="httptools", log_level="warning")
