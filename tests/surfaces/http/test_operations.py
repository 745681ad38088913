"""Health and measures."""

import pytest

from dragoman.providers.scripted.script import call, say
from dragoman.surfaces.http.health import Health, Part
from tests.surfaces.house import Gate, eventually, house, served


async def test_a_server_that_runs_is_alive_ready_and_well():
    async with house() as at:
        await at.client.post("/chat/run", json={"input": "Hello"})
        live, ready, well = [await at.client.get(path) for path in ("/livez", "/readyz", "/health")]
    assert live.json() == {"status": "ok"}
    assert (ready.status_code, ready.json()["status"]) == (200, "ready")
    assert set(ready.json()["parts"]) == {"database", "log", "dispatcher", "scheduler"}
    assert well.json()["runs"] == {"active": 0, "ended": {"completed": 1}}


async def test_a_part_that_is_not_ready_is_named():
    async with house() as at:

        async def failing():
            return "The disk is full."

        at.services.checks["database"] = failing
        at.services.dispatcher.accepting = False
        answer = await at.client.get("/readyz")
        alive = await at.client.get("/livez")
    parts = answer.json()["parts"]
    assert (answer.status_code, answer.json()["status"]) == (503, "not_ready")
    assert parts["database"] == {"ready": False, "detail": "The disk is full."}
    assert parts["dispatcher"]["ready"] is False
    assert parts["log"]["ready"] is True
    assert alive.status_code == 200


async def test_a_log_that_cannot_be_written_makes_the_server_unready():
    async with house() as at:
        at.services.log.health.failing_since = 0.0
        parts = await Health(at.services).parts()
        refused = await at.client.post("/chat/run", json={"input": "Hello"})
    assert not parts["log"].ready
    assert parts["dispatcher"] == Part(ready=True)
    assert (refused.status_code, refused.json()["code"]) == (503, "storage_unavailable")


async def test_measures_tell_requests_by_route_and_what_runs_do():
    gate = Gate()
    async with house({"chat": [call("gate"), say("Done.")]}, tools=gate) as at, served(at) as (client, _):
        async with client.stream("POST", "/chat/stream", json={"input": "Hello"}):
            await gate.reached.wait()
            await eventually(lambda: at.services.log.readers)
            during = (await at.client.get("/metrics")).text
            gate.opened.set()
            await eventually(lambda: not at.services.dispatcher.active)
        after = (await at.client.get("/metrics")).text
        await at.client.request("BREW", "/coffee")
        strange = (await at.client.get("/metrics")).text
    assert "dragoman_runs_active 1.0" in during
    assert "dragoman_streams_open 1.0" in during
    assert "dragoman_runs_queued 0.0" in during
    assert 'dragoman_runs_ended_total{status="completed"} 1.0' in after
    assert 'dragoman_http_requests_total{method="GET",route="/metrics",status="200"} 1.0' in after
    assert 'method="other",route="unmatched"' in strange
    assert "dragoman_log_failing 0.0" in after


async def test_two_applications_measure_apart():
    async with house() as one, house() as other:
        await one.client.get("/agents")
        assert 'route="/agents"' in (await one.client.get("/metrics")).text
        assert 'route="/agents"' not in (await other.client.get("/metrics")).text


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
async def test_the_reference_shows_every_operation_and_loads_nothing_from_anywhere(path):
    async with house() as at:
        page = await at.client.get(path)
        document = at.app.openapi()
    for operations in document["paths"].values():
        for operation in operations.values():
            assert f'id="{operation["operationId"]}"' in page.text
    assert "src=" not in page.text
    assert "http://" not in page.text.replace("http://127.0.0.1", "")
    assert "https://" not in page.text


async def test_jobs_and_how_they_went_are_told():
    async with house(stateless_ttl=0.0, thread_ttl_days=0.0) as at:
        await at.services.scheduler.do_all()
        schedules = (await at.client.get("/health")).json()["schedules"]
        measures = (await at.client.get("/metrics")).text
        await at.services.scheduler.stop()
        stopped = (await at.client.get("/readyz")).json()["parts"]["scheduler"]
    assert {name: one["result"] for name, one in schedules.items()} == {
        "approvals": "approvals of 0 runs expired",
        "deleted_space": "0 bytes given back",
        "idempotency_keys": "0 expired idempotency keys removed",
        "request_counts": "0 counts of requests removed",
    }
    assert 'dragoman_jobs_total{job="deleted_space",outcome="done"} 1.0' in measures
    assert stopped == {"ready": False, "detail": "The scheduler is not running."}
