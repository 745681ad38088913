"""This server with its stores in memory: what is left when nothing is written to a database.

``python -m bench.in_memory PORT``
"""

import sys

from bench.agent import agent
from dragoman import create_app
from dragoman.adapters.memory import MemoryStore
from dragoman.cli.serve import run, server_options
from dragoman.settings import Settings

if __name__ == "__main__":
    settings = Settings.load(port=int(sys.argv[1]))
    run(create_app([agent], settings=settings, store=MemoryStore()), server_options(settings))
