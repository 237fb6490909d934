"""A trace collector on this machine: OTLP over HTTP, as protobuf."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.loopback import reply


class Collector:
    """
    Attributes:
        bodies: the request bodies as received.
        spans: in the order of their end.
        resources: those that the spans belong to.
    """

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.bodies: list[bytes] = []
        self.spans: list[Any] = []
        self.resources: list[dict[str, str]] = []

    @property
    def names(self) -> list[str]:
        return [each.name for each in self.spans]

    def take(self, body: bytes) -> None:
        self.bodies.append(body)
        for of in ExportTraceServiceRequest.FromString(body).resource_spans:
            told = {each.key: each.value.string_value for each in of.resource.attributes}
            self.resources.append(told)
            for scope in of.scope_spans:
                self.spans.extend(scope.spans)


@asynccontextmanager
async def collector() -> AsyncIterator[Collector]:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                assert head.startswith("post /v1/traces ")
                length = head.partition("content-length:")[2].split()[0]
                body = await reader.readexactly(int(length))
                there.take(gzip.decompress(body) if "content-encoding: gzip" in head else body)
                writer.write(reply(b"", "application/x-protobuf"))
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    there = Collector(server.sockets[0].getsockname()[1])
    try:
        yield there
    finally:
        server.close()
