"""The demo model: rules instead of intelligence, everything around it real. It is also the model that tests use."""

from dragoman.providers.openai.agents.models.demo.model import DemoModel, DemoModels

__all__ = ["DemoModel", "DemoModels"]
