"""Plays agents with the OpenAI Agents SDK: the only part that imports ``agents`` or ``openai``.

What describes endpoints is cheap to import; the SDK is loaded with the provider.
"""

from typing import TYPE_CHECKING, Any

from dragoman.providers.openai.config import OPENAI_BASE_URL, DemoSettings, ModelEndpoint

__all__ = ["OPENAI_BASE_URL", "DemoSettings", "ModelEndpoint", "build_openai_provider"]

if TYPE_CHECKING:
    from dragoman.providers.openai.provider import build_openai_provider


def __getattr__(name: str) -> Any:
    if name == "build_openai_provider":
        from dragoman.providers.openai.provider import build_openai_provider

        return build_openai_provider
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
