"""Research: a planner, parallel searches and a writer, as one durable run."""

from dragoman.workflows.research.agents import AGENTS, agents
from dragoman.workflows.research.pipeline import Habit, research_workflow
from dragoman.workflows.research.tools import page_tool, search_tool

__all__ = ["AGENTS", "Habit", "agents", "page_tool", "research_workflow", "search_tool"]
