"""The official client in strict validation: every field that is missing or of a wrong type raises."""

from typing import Any

from openai import AsyncOpenAI

from tests.surfaces.house import House


def official(house: House, **given: Any) -> AsyncOpenAI:
    """One that asks in process, once."""
    usual = {"base_url": "http://localhost/v1", "http_client": house.client, "api_key": "any", "max_retries": 0}
    return AsyncOpenAI(**{**usual, "_strict_response_validation": True, **given})
