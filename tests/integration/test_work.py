"""Background tasks that meet what nobody expected."""

from docket import Worker
from structlog.testing import capture_logs

from app.errors import StorageUnavailable
from app.work import Work
from tests.integration.calls import until


async def test_a_task_whose_database_was_away_is_run_again_soon(monkeypatch):
    """Without a traceback: it is no mistake."""
    monkeypatch.setattr("app.work.UNREACHED_S", 0.1)
    runs = []

    async def task(name: str) -> float | None:
        runs.append(name)
        if len(runs) == 1:
            raise ExceptionGroup("of a shard", [StorageUnavailable("locked")])
        return None

    work = Work("test", at_once=2)
    work.register("shard", task)
    try:
        with capture_logs() as lines:
            await work.kick("shard", "bat_1")
            await until(lambda: len(runs) == 2, seconds=10)
    finally:
        await work.aclose()

    assert runs == ["bat_1"] * 2
    assert [each["event"] for each in lines if each["log_level"] == "error"] == []


async def test_what_runs_tasks_begins_anew_after_a_mistake(monkeypatch):
    """Else all background work stood still until the next start."""
    monkeypatch.setattr("app.work.RECONNECTED_EVERY_S", 0.1)
    runs, broken, real = [], [], Worker.run_forever

    async def once_broken(worker: Worker) -> None:
        if not broken:
            broken.append(True)
            raise RuntimeError("nobody expected this")
        await real(worker)

    monkeypatch.setattr(Worker, "run_forever", once_broken)

    async def task(name: str) -> float | None:
        runs.append(name)
        return None

    work = Work("test", at_once=2)
    work.register("shard", task)
    try:
        await work.kick("shard", "bat_1")
        await until(lambda: broken)

        async def looked() -> bool:  # as who looks for what lost its task does
            await work.kick("shard", "bat_1")
            return bool(runs)

        await until(looked, seconds=10)
    finally:
        await work.aclose()
