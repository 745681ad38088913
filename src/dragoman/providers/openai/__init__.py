"""Plays agents with the OpenAI Agents SDK: the only part that imports ``agents`` or ``openai``."""

from dragoman.providers.openai.config import OPENAI_BASE_URL, DemoSettings, ModelEndpoint
from dragoman.providers.openai.provider import build_openai_provider

__all__ = ["OPENAI_BASE_URL", "DemoSettings", "ModelEndpoint", "build_openai_provider"]
