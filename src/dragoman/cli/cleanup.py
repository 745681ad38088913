"""``dragoman cleanup``: what a server clears away from time to time, now."""

import asyncio

import typer


def cleanup() -> None:
    """Clear away what is due to go, and say what that was. A server may be running."""
    if not asyncio.run(_cleanup()):
        raise typer.Exit(1)


async def _cleanup() -> bool:
    import secrets

    from dragoman.adapters.sql import SqlStore
    from dragoman.adapters.system import SystemClock
    from dragoman.application.cleanup import Cleared
    from dragoman.application.scheduler import Scheduler
    from dragoman.bootstrap import cleanup_jobs, shared_engine
    from dragoman.settings import Settings

    settings, clock = Settings.load(), SystemClock()
    store = SqlStore(shared_engine(settings))
    await store.start()
    try:
        jobs = cleanup_jobs(settings, store, clock, Cleared())
        done = await Scheduler(store.schedules, clock, jobs, name=secrets.token_hex(8)).do_all()
    finally:
        await store.stop()
    for one in done:
        typer.echo(f"{one.name}: {one.result}", err=one.failed)
    return not any(one.failed for one in done)
