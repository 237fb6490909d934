"""Several services that share a Redis know of each other."""

import signal

import httpx2

from tests.integration.calls import until


async def processes(http, service) -> list[str]:
    """Of which `service` tells, in its order."""
    reports = (await http.get(f"{service.url}/deployments")).json()
    return [each["process"] for each in reports]


async def test_each_tells_of_the_deployments_of_all(start_service, redis):
    """Its own first; one that was killed is forgotten, and without Redis each knows itself."""
    first, second = (start_service(REDIS_URL=redis.url) for _ in range(2))
    async with httpx2.AsyncClient(timeout=20) as http:

        async def know(count: int) -> bool:
            return len(await processes(http, first)) == count

        await until(lambda: know(2))
        of_first, of_second = [await processes(http, each) for each in (first, second)]
        second.stop(signal.SIGKILL)
        await until(lambda: know(1), seconds=20)
        redis.kill()
        alone = await processes(http, first)

    assert of_first == of_second[::-1]
    assert of_first[0].endswith(f":{first.process.pid}")
    assert of_first[1].endswith(f":{second.process.pid}")
    assert alone == of_first[:1]
