"""Requests as bytes: from what the Runner passes to what goes over the wire, in either dialect."""

from typing import Any

import orjson
from agents import ModelSettings
from agents.models.chatcmpl_converter import Converter as ChatConverter
from agents.models.openai_responses import Converter as ResponsesConverter
from openai import NotGiven, Omit

from dragoman.domain.errors import ModelRefused
from dragoman.providers.openai.agents.models.direct import Request
from dragoman.providers.openai.agents.models.history import default, input_items, messages

Json = dict[str, Any]


def chat_body(request: Request, model: str) -> bytes:
    settings = request.model_settings
    tools = [ChatConverter.tool_to_openai(tool) for tool in request.tools]
    tools += [ChatConverter.convert_handoff_tool(handoff) for handoff in request.handoffs]
    body: Json = {
        "model": model,
        "messages": messages(request.system_instructions, request.input, model),
        "stream": True,
        "stream_options": None if settings.include_usage is None else {"include_usage": settings.include_usage},
        "tools": tools or None,
        "tool_choice": ChatConverter.convert_tool_choice(settings.tool_choice),
        "parallel_tool_calls": settings.parallel_tool_calls if tools else None,
        "response_format": ChatConverter.convert_response_format(request.output_schema),
        "max_tokens": settings.max_tokens,
        "reasoning_effort": settings.reasoning.effort if settings.reasoning else None,
        "verbosity": settings.verbosity,
        "frequency_penalty": settings.frequency_penalty,
        "presence_penalty": settings.presence_penalty,
        "top_logprobs": settings.top_logprobs,
        "logprobs": True if settings.top_logprobs is not None else None,
        **_of_both(settings),
    }
    return _bytes(body, settings, may_replace={"logprobs"})


def responses_body(request: Request, model: str) -> bytes:
    settings = request.model_settings
    tool_choice: Any = ResponsesConverter.convert_tool_choice(
        settings.tool_choice, tools=request.tools, handoffs=request.handoffs, model=model
    )
    converted = ResponsesConverter.convert_tools(
        request.tools,
        request.handoffs,
        allow_opaque_tool_search_surface=request.prompt is not None,
        model=model,
        tool_choice=settings.tool_choice,
    )
    text = _given(ResponsesConverter.get_response_format(request.output_schema)) or {}
    if settings.verbosity is not None:
        text = {**text, "verbosity": settings.verbosity}
    include = {*converted.includes, *(settings.response_include or ())}
    if settings.top_logprobs is not None:
        include.add("message.output_text.logprobs")
    tools_known_elsewhere = request.prompt is not None and not converted.tools
    if tools_known_elsewhere and isinstance(tool_choice, dict):
        tool_choice = None
    body: Json = {
        "model": model,
        "instructions": request.system_instructions,
        "input": input_items(request.input),
        "stream": True,
        "include": sorted(include) or None,
        "tools": None if tools_known_elsewhere else converted.tools,
        "tool_choice": tool_choice,
        "parallel_tool_calls": settings.parallel_tool_calls if converted.tools or request.prompt else None,
        "text": text or None,
        "max_output_tokens": settings.max_tokens,
        "reasoning": settings.reasoning,
        "truncation": settings.truncation,
        "top_logprobs": settings.top_logprobs,
        "previous_response_id": request.previous_response_id,
        "conversation": request.conversation_id,
        "prompt": request.prompt,
        "context_management": settings.context_management,
        **_of_both(settings),
    }
    return _bytes(body, settings, may_replace=set())


def _of_both(settings: ModelSettings) -> Json:
    return {
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        "metadata": settings.metadata,
        "store": settings.store,
        "prompt_cache_retention": settings.prompt_cache_retention,
        "prompt_cache_options": settings.prompt_cache_options,
    }


def _bytes(body: Json, settings: ModelSettings, *, may_replace: set[str]) -> bytes:
    """Without what was not chosen, with what the operator adds: arguments beside ours, a body over them."""
    chosen = {name: value for name, value in body.items() if _given(value) is not None}
    extra = settings.extra_args or {}
    if twice := sorted(chosen.keys() & extra.keys() - may_replace):
        raise ModelRefused(f"A setting of the model was given twice: {', '.join(twice)}.")
    over = settings.extra_body if isinstance(settings.extra_body, dict) else {}
    return orjson.dumps({**chosen, **extra, **over}, default=default, option=orjson.OPT_NON_STR_KEYS)


def _given(value: Any) -> Any:
    return None if isinstance(value, Omit | NotGiven) else value
