"""Workflows: several agents at work on one run, in an order that is written down as plain Python.

A ``Workflow`` is a function of a ``Flow``. It asks agents, one after the other or side by side, and makes one answer of what
they said. Every question it asks is a journalled step of the run's log, so a run that is taken up again goes on behind the
last finished one. Whoever plays the agents is known by the port ``AgentRuntime`` only.
"""

from dragoman.application.workflows.flow import Ending, Flow, Form, Heard, Limits, Stage, Stopped
from dragoman.application.workflows.provider import NAME, Workflow, WorkflowProvider, build_workflow_provider

__all__ = [
    "NAME",
    "Ending",
    "Flow",
    "Form",
    "Heard",
    "Limits",
    "Stage",
    "Stopped",
    "Workflow",
    "WorkflowProvider",
    "build_workflow_provider",
]
