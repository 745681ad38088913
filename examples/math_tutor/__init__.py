"""A homework desk that hands over to a math tutor with tools. Plain Agents SDK: it needs nothing else to run."""

from .agents import homework_desk, math_tutor, writing_coach

__all__ = ["homework_desk", "math_tutor", "writing_coach"]
