"""Background work: each kind has its own queue."""

from contextlib import AsyncExitStack
from dataclasses import dataclass

from app.classification import MAX_PENDING
from app.identifiers import new_id
from app.parts.ground import Ground
from app.storage import chosen
from app.webhooks import AT_ONCE as WEBHOOKS_AT_ONCE
from app.work import Work


@dataclass(frozen=True, slots=True)
class Queues:
    """One for each kind of work, so that none has to wait behind another."""

    pictures: Work
    shards: Work
    webhooks: Work

    def start(self) -> None:
        for each in (self.pictures, self.shards, self.webhooks):
            each.start()


async def build_queues(ground: Ground, stack: AsyncExitStack, *, serving: bool) -> Queues:
    settings = ground.settings
    redis_url, installation = None, ""
    if settings.shared and settings.redis_url is not None:
        redis_url = settings.redis_url.get_secret_value()
        # Several databases may share one Redis: this id keeps their tasks apart.
        installation = await chosen(ground.database, "id", new_id("ins"))

    def build(name: str, at_once: int) -> Work:
        work = Work(
            f"{installation}-{name}",
            at_once=at_once,
            redis_url=redis_url,
            runs=settings.work and (serving or not settings.shared),
        )
        stack.push_async_callback(work.aclose)
        return work

    return Queues(
        pictures=build("pictures", MAX_PENDING),
        shards=build("shards", settings.batch.shards_at_once),
        webhooks=build("webhooks", WEBHOOKS_AT_ONCE),
    )
