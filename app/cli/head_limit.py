"""A bound on what comes before and after a request's body: uvicorn would keep any amount of it."""

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD = 65_536
"""Bytes of a request line and its headers, or of a body's trailers and the like, that follow the
first piece read, which is 256 kB."""


class BoundedHead(HttpToolsProtocol):
    """uvicorn's protocol, which refuses a head that does not end, and drops trailers: appended to
    the headers, they would bring back what a proxy took out."""

    _in_head = False
    _goes_on = False
    _head_bytes = 0

    def data_received(self, data: bytes) -> None:
        self._goes_on = False
        super().data_received(data)
        if not self._goes_on:
            # Not the piece in which a head begins or a body ends.
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
