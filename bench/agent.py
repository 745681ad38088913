"""The agent that is measured: the same object for every server that plays agents."""

from agents import Agent

agent = Agent(name="bench", instructions="Answer as you are told.")
