"""Object stores on this machine, with the features that the service uses: S3, and Azure's blobs."""

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.sax.saxutils import escape

PAGE = 1_000


class Objects:
    """The content of a bucket or container.

    Attributes:
        held: bytes by key.
        asked: method, path with query, and range of each request.
        down: the status with which everything is answered; None: it works.
        down_for: the suffix of a key, and how many more requests for it are refused.
    """

    def __init__(self) -> None:
        self.held: dict[str, bytes] = {}
        self.asked: list[tuple[str, str, str | None]] = []
        self.down: int | None = None
        self.down_for = ("", 0)
        self.url = ""

    def page(self, prefix: str, after: str, most: int) -> tuple[list[tuple[str, int]], bool]:
        """Names and sizes, and whether there are more."""
        names = sorted(name for name in self.held if name.startswith(prefix) and name > after)
        return [(name, len(self.held[name])) for name in names[:most]], len(names) > most


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    objects: Objects

    def log_message(self, *_) -> None:
        return

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        key = self._key(unquote(parts.path))
        self.objects.asked.append((self.command, self.path, self._range()))
        if (status := self._down(key or "")) is not None:
            self._answer(status, self._problem("AccessDenied"))
        elif key is None:
            self._answer(404, self._problem(self.no_such_bucket))
        elif not key:
            self._answer(200, self._listing(query).encode())
        elif key not in self.objects.held:
            self._answer(404, self._problem("NoSuchKey"))
        else:
            self._send(self.objects.held[key])

    do_HEAD = do_GET  # noqa: N815

    def do_PUT(self) -> None:
        """Store an object in a single request."""
        key = self._key(unquote(urlsplit(self.path).path))
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.objects.asked.append((self.command, self.path, None))
        if (status := self._down(key or "")) is not None:
            self._answer(status, self._problem("AccessDenied"))
        elif not key:
            self._answer(404, self._problem(self.no_such_bucket))
        else:
            self.objects.held[key] = body
            self._answer(self.created, b"")

    def _down(self, key: str) -> int | None:
        end, times = self.objects.down_for
        if times and key.endswith(end):
            self.objects.down_for = (end, times - 1)
            return 403
        return self.objects.down

    def _send(self, data: bytes) -> None:
        if not (wanted := self._range()):
            self._answer(200, data)
            return
        first, last = wanted.removeprefix("bytes=").split("-")
        part = data[int(first) : int(last) + 1 if last else None]
        place = f"bytes {first}-{int(first) + len(part) - 1}/{len(data)}"
        self._answer(206 if part else 416, part, **{"Content-Range": place})

    def _range(self) -> str | None:
        return self.headers["x-ms-range"] or self.headers["Range"]

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status, HTTPStatus(status).phrase)
        named = {
            "Content-Length": str(len(body)),
            "Content-Type": "application/xml" if body[:1] == b"<" else "image/jpeg",
            "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT",
            "ETag": '"0"',
            "x-ms-blob-type": "BlockBlob",
            **headers,
        }
        for name, value in named.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _problem(self, code: str) -> bytes:
        return f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()


class _S3(_Handler):
    """`/bucket/key`: HeadObject, GetObject, ListObjectsV2 with its names as in URLs."""

    no_such_bucket, created = "NoSuchBucket", 200

    def _key(self, path: str) -> str | None:
        bucket, _, key = path[1:].partition("/")
        return key if bucket == "bucket" else None

    def _listing(self, query: dict[str, str]) -> str:
        most = min(PAGE, int(query.get("max-keys", PAGE)))
        page, more = self.objects.page(
            query.get("prefix", ""), query.get("continuation-token", ""), most
        )
        rows = "".join(
            f"<Contents><Key>{quote(name)}</Key><Size>{size}</Size><ETag>0</ETag>"
            "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
            for name, size in page
        )
        last = escape(page[-1][0]) if more else ""
        token = f"<NextContinuationToken>{last}</NextContinuationToken>" if more else ""
        return (
            f"<ListBucketResult><Name>bucket</Name><EncodingType>url</EncodingType><KeyCount>{len(page)}</KeyCount>{token}"
            f"<IsTruncated>{str(more).lower()}</IsTruncated>{rows}</ListBucketResult>"
        )


class _Azure(_Handler):
    """`/account/container/blob`: Get Blob Properties, Get Blob, List Blobs."""

    no_such_bucket, created = "ContainerNotFound", 201

    def _key(self, path: str) -> str | None:
        _, container, key = (*path[1:].split("/", 2), "")[:3]
        return key if container == "bucket" else None

    def _listing(self, query: dict[str, str]) -> str:
        most = min(5 * PAGE, int(query.get("maxresults", 5 * PAGE)))
        page, more = self.objects.page(query.get("prefix", ""), query.get("marker", ""), most)
        rows = "".join(
            f"<Blob><Name>{escape(name)}</Name><Properties>"
            "<Last-Modified>Thu, 01 Jan 2026 00:00:00 GMT</Last-Modified><Etag>0</Etag>"
            f"<Content-Length>{size}</Content-Length><BlobType>BlockBlob</BlobType></Properties>"
            "<Metadata/></Blob>"
            for name, size in page
        )
        marker = escape(page[-1][0]) if more else ""
        return (
            f'<?xml version="1.0" encoding="utf-8"?><EnumerationResults ContainerName="bucket">'
            f"<MaxResults>{most}</MaxResults><Blobs>{rows}</Blobs><NextMarker>{marker}</NextMarker></EnumerationResults>"
        )


@contextmanager
def serving(kind: type[_Handler], objects: Objects) -> Iterator[Objects]:
    handler = type("Handler", (kind,), {"objects": objects})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    objects.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield objects
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def s3(objects: Objects | None = None):
    return serving(_S3, objects or Objects())


def azure(objects: Objects | None = None):
    return serving(_Azure, objects or Objects())


def environment(url: str) -> dict[str, str]:
    """Variables that direct s3fs and adlfs to these stores."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_MAX_ATTEMPTS": "1",
        "AZURE_STORAGE_CONNECTION_STRING": "DefaultEndpointsProtocol=http;AccountName=account;"
        f"AccountKey=c2VjcmV0;BlobEndpoint={url}/account;",
    }
