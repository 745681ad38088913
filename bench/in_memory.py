"""This server with its stores in memory: what is left when nothing is written to a database.

``python -m bench.in_memory PORT``
"""

import sys

import uvicorn

from bench.agent import agent
from dragoman import create_app
from dragoman.adapters.memory import MemoryStore

if __name__ == "__main__":
    app = create_app([agent], store=MemoryStore())
    port = int(sys.argv[1])
    uvicorn.run(app, host="127.0.0.1", port=port, loop="uvloop", http="httptools", access_log=False, log_config=None)
