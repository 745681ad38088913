"""The ids of this wire. A response is a run under another name; what it says is numbered. Nothing is looked up."""

from dragoman.domain.errors import Invalid

RESPONSE = "resp_"
RUN = "run_"
_PREFIXES = {"message": "msg", "reasoning": "rs", "function_call": "fc", "function_call_output": "fco"}


class ResponseNotFound(Invalid):
    """``previous_response_id`` names nothing that can be gone on from."""

    code = "previous_response_not_found"


def response_id(run_id: str) -> str:
    return RESPONSE + run_id.removeprefix(RUN)


def run_id(response_id: str) -> str:
    """A run's id. What is no response's id becomes one that no run has."""
    return RUN + response_id.removeprefix(RESPONSE)


def output_id(kind: str, run_id: str, index: int) -> str:
    return f"{_PREFIXES[kind]}_{run_id.removeprefix(RUN)}_{index}"


def input_id(kind: str, run_id: str, index: int) -> str:
    return f"{_PREFIXES[kind]}_{run_id.removeprefix(RUN)}_i{index}"
