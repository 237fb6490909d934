"""A bound on what comes before and after a request's body: uvicorn would keep any amount of it."""

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD = 65_536
"""Bytes of a request line and its headers that follow the first piece read, which is 256 kB; and
of names and values of trailers."""


class BoundedHead(HttpToolsProtocol):
    """uvicorn's protocol, which refuses a head that does not end, and drops trailers: appended to
    the headers, they would bring back what a proxy took out."""

    _messages = 0
    _in_head = False
    _head_bytes = 0
    _trailer_bytes = 0

    def data_received(self, data: bytes) -> None:
        message = self._messages
        super().data_received(data)
        if self._messages == message:
            # Not the piece in which a head begins: the end of another request may be in it.
            self._head_bytes += len(data)
        too_much = self._in_head and self._head_bytes > MAX_HEAD
        if (too_much or self._trailer_bytes > MAX_HEAD) and not self.transport.is_closing():
            self.send_400_response("The request's head is too large.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._messages += 1
        self._in_head = True
        self._head_bytes = self._trailer_bytes = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:
            super().on_header(name, value)
        else:
            self._trailer_bytes += len(name) + len(value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()
