"""A bound on what comes before a request's body: uvicorn would keep a head of any size."""

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD = 65_536
"""Bytes of a request line and its headers that follow the first piece read, which is 256 kB."""


class BoundedHead(HttpToolsProtocol):
    """uvicorn's protocol, which refuses a head that does not end."""

    _head_bytes = 0
    _in_head = False

    def data_received(self, data: bytes) -> None:
        goes_on = self._in_head
        super().data_received(data)
        # Not the first piece: the end of another request may be in it.
        self._head_bytes += len(data) if goes_on else 0
        if self._in_head and self._head_bytes > MAX_HEAD and not self.transport.is_closing():
            self.send_400_response("The request's head is too large.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()
