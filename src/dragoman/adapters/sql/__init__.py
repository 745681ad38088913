"""The stores on a SQL database: scripts written once, engines that run them."""

from dragoman.adapters.sql.engine import Engine
from dragoman.adapters.sql.sqlite import SqliteEngine
from dragoman.adapters.sql.store import SqlStore

__all__ = ["Engine", "SqlStore", "SqliteEngine"]
