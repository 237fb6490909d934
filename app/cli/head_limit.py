"""Limits what precedes and follows a request's body, and the requests that wait: uvicorn would
buffer any amount."""

import asyncio
from collections.abc import Sized

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD = 65_536
"""Bytes of a request line and its headers, or of a body's trailers and the like, beyond the first
chunk read, which is 256 kB."""


class BoundedHead(HttpToolsProtocol):
    """uvicorn's protocol, except that it refuses a head that does not end and drops trailers:
    uvicorn would append them to the headers, which could restore headers that a proxy removed."""

    _in_head = False
    _goes_on = False
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.flow = _PatientFlow(transport, self.pipeline)

    def data_received(self, data: bytes) -> None:
        self._goes_on = False
        super().data_received(data)
        if not self._goes_on:
            # Not the chunk in which a head begins or a body ends.
            self._head_bytes += len(data)
        if self._head_bytes > MAX_HEAD and not self.transport.is_closing():
            self.send_400_response("The request's head is too large.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = self._goes_on = True
        self._head_bytes = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        super().on_body(body)
        self._goes_on = True
        self._head_bytes = 0


class _PatientFlow(FlowControl):
    """Stops reading while requests that were read wait for the one before them."""

    def __init__(self, transport: asyncio.Transport, waiting: Sized) -> None:
        super().__init__(transport)
        self._waiting = waiting

    def resume_reading(self) -> None:
        if not self._waiting:
            super().resume_reading()
