"""The egress client against real servers on the loopback, which EGRESS_ALLOW names."""

import asyncio
import gzip
import shutil
import ssl
import subprocess
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager

import httpcore2
import pytest

from app.egress import Allowance, EgressClient
from app.errors import UrlRefused, UrlTooLarge, UrlUnreachable

Handler = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


class Recorder(httpcore2.AnyIOBackend):
    """Real connections, written down."""

    def __init__(self):
        self.connected = []
        self.streams = []

    async def connect_tcp(self, host, port, **kwargs):
        self.connected.append(host)
        self.streams.append(await super().connect_tcp(host, port, **kwargs))
        return self.streams[-1]


@asynccontextmanager
async def serve(handler: Handler, *, tls: ssl.SSLContext | None = None):
    """A server that hands the head of each request to `handler`. Yields its port."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(await reader.readuntil(b"\r\n\r\n"), writer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


def answers(raw: bytes, seen: list[bytes] | None = None) -> Handler:
    """The same answer to every request; `seen` collects their heads."""

    async def handler(head: bytes, writer: asyncio.StreamWriter) -> None:
        if seen is not None:
            seen.append(head)
        writer.write(raw)

    return handler


def ok(body: bytes, *headers: str, length: int | None = None) -> bytes:
    lines = ["HTTP/1.1 200 OK", f"Content-Length: {len(body) if length is None else length}"]
    return "\r\n".join([*lines, *headers, "", ""]).encode() + body


def redirect(location: str) -> bytes:
    return f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()


async def fetch(port: int, path: str = "/a.png", *, max_bytes: int = 1000, **options):
    client = EgressClient(allow=Allowance.parse(f"127.0.0.1:{port}"), **options)
    return await client.get(f"http://127.0.0.1:{port}{path}", max_bytes=max_bytes)


async def test_what_a_url_holds_is_fetched(monkeypatch):
    """With our own headers only, past any proxy of the environment."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    seen = []
    async with serve(answers(ok(b"PNG", "Content-Type: image/png"), seen)) as port:
        fetched = await fetch(port, "/a.png?b#c", user_agent="classifier/1")

    assert fetched.content == b"PNG"
    assert fetched.content_type == "image/png"
    assert fetched.final_url == f"http://127.0.0.1:{port}/a.png?b"
    assert seen[0].decode().split("\r\n")[:-2] == [
        "GET /a.png?b HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "User-Agent: classifier/1",
        "Accept-Encoding: identity",
        "Connection: close",
        "accept: image/*",
    ]


async def test_a_server_on_the_loopback_is_refused_unless_allowed():
    seen = []
    async with serve(answers(ok(b"PNG"), seen)) as port:

        async def resolver(host, port):
            return ["127.0.0.1"]

        client = EgressClient(allow=Allowance.parse("127.0.0.1:1"), resolver=resolver)
        for url in (f"http://127.0.0.1:{port}/", "http://images.example.com/"):
            with pytest.raises(UrlRefused):
                await client.get(url, max_bytes=1000)

    assert seen == []


async def test_redirects_are_followed_and_judged():
    """A relative one is followed; to a private address, or to another port, it is refused."""
    places = {
        b"/1": redirect("2?x"),
        b"/2?x": ok(b"PNG"),
        b"/private": redirect("http://10.0.0.1/"),
        b"/port": redirect("//127.0.0.1:1/"),
        b"/nowhere": b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n",
        b"/two": redirect("/1").replace(b"Content-L", b"Location: /3\r\nContent-L"),
        b"/latin": redirect("/1").replace(b"/1", b"/\xff"),
    }

    async def handler(head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(places[head.split()[1]])

    async with serve(handler) as port:
        fetched = await fetch(port, "/1")
        for path in ("/private", "/port", "/nowhere", "/two"):
            with pytest.raises(UrlRefused):
                await fetch(port, path)
        with pytest.raises(UrlUnreachable):
            await fetch(port, "/latin")

    assert fetched.final_url == f"http://127.0.0.1:{port}/2?x"


async def test_a_redirect_loop_ends_after_the_last_allowed_redirect():
    """Two redirects are three requests, each on a connection of its own."""
    seen = []
    recorder = Recorder()
    async with serve(answers(redirect("/a.png"), seen)) as port:
        with pytest.raises(UrlRefused, match="more than 2 times"):
            await fetch(port, max_redirects=2, connector=recorder)

    assert len(seen) == 3
    assert recorder.connected == ["127.0.0.1"] * 3


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(ok(b"x", length=1001), id="declared"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            + b"190\r\n" + b"x" * 400 + b"\r\n190\r\n" + b"x" * 400 + b"\r\n190\r\n" + b"x" * 400,
            id="chunked",
        ),
        pytest.param(b"HTTP/1.0 200 OK\r\n\r\n" + b"x" * 1001, id="until the connection closes"),
    ],
)  # fmt: skip
async def test_more_than_the_allowed_bytes_are_not_taken(raw):
    async with serve(answers(raw)) as port:
        with pytest.raises(UrlTooLarge):
            await fetch(port)


async def test_exactly_the_allowed_bytes_are_taken():
    async with serve(answers(b"HTTP/1.0 200 OK\r\n\r\n" + b"x" * 1000)) as port:
        fetched = await fetch(port)

    assert len(fetched.content) == 1000


async def test_no_more_is_read_than_was_declared():
    """A `content-length` that is too small cuts the body."""
    async with serve(answers(ok(b"x" * 5000, length=3))) as port:
        fetched = await fetch(port)

    assert fetched.content == b"xxx"


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(ok(gzip.compress(bytes(100_000)), "Content-Encoding: gzip"), id="gzip bomb"),
        pytest.param(ok(b"half", length=8), id="dropped in the body"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Le", id="dropped in the head"),
        pytest.param(b"", id="dropped at once"),
        pytest.param(b"SSH-2.0-OpenSSH_9.6\r\n", id="not http"),
        pytest.param(ok(b"", "X: " + "x" * 300_000), id="endless head"),
        pytest.param(ok(b"x", "Content-Length: 2"), id="two lengths"),
        pytest.param(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n", id="upgrade"),
        pytest.param(b"HTTP/1.1 204 No Content\r\n\r\n", id="nothing there"),
        pytest.param(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", id="error status"),
        pytest.param(b"HTTP/1.1 304 Not Modified\r\n\r\n", id="not modified"),
    ],
)
async def test_an_answer_that_holds_no_whole_body_is_unreachable(raw):
    async with serve(answers(raw)) as port:
        with pytest.raises(UrlUnreachable):
            await fetch(port)


async def test_a_body_that_trickles_is_given_up_in_time():
    """Each byte is in time for the read timeout; the total one ends it."""

    async def handler(head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(ok(b"", length=1000))
        for _ in range(1000):
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with serve(handler) as port:
        with pytest.raises(UrlUnreachable, match="too long"):
            await fetch(port, read_timeout_s=5, total_timeout_s=0.1)


async def test_silence_is_given_up_in_time():
    async def handler(head: bytes, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.2)

    async with serve(handler) as port:
        with pytest.raises(UrlUnreachable, match="too long"):
            await fetch(port, read_timeout_s=0.05)


async def test_a_slow_lookup_is_given_up_in_time():
    async def resolver(host, port):
        await asyncio.sleep(5)

    client = EgressClient(resolver=resolver, total_timeout_s=0.05)

    with pytest.raises(UrlUnreachable, match="too long"):
        await client.get("http://example.com/", max_bytes=1)


async def test_a_cancelled_fetch_is_cancelled():
    """Cancellation is the caller's, no error of the URL."""

    async def handler(head: bytes, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.1)

    async with serve(handler) as port:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(fetch(port), 0.05)


async def test_the_next_address_is_tried_when_one_is_closed():
    """Only addresses the one lookup gave are tried, in its order."""
    lookups = []

    async def resolver(host, port):
        lookups.append(host)
        return ["127.0.0.2", "127.0.0.1"]

    recorder = Recorder()
    async with serve(answers(ok(b"PNG"))) as port:
        allow = Allowance.parse(f"images.example.com:{port}")
        client = EgressClient(allow=allow, resolver=resolver, connector=recorder)
        await client.get(f"http://images.example.com:{port}/", max_bytes=1000)

    assert recorder.connected == ["127.0.0.2", "127.0.0.1"]
    assert lookups == ["images.example.com"]


async def test_a_closed_port_is_unreachable():
    async with serve(answers(b"")) as port:
        pass

    with pytest.raises(UrlUnreachable):
        await fetch(port)


@pytest.mark.parametrize("host", ["gone.invalid", "localhost"])
async def test_the_systems_resolver_is_asked_by_default(host):
    """`.invalid` never exists, `localhost` always does."""
    async with serve(answers(ok(b"PNG"))) as port:
        client = EgressClient(allow=Allowance.parse(f"{host}:{port}"))
        if host == "localhost":
            await client.get(f"http://{host}:{port}/", max_bytes=1000)
        else:
            with pytest.raises((UrlRefused, UrlUnreachable)):
                await client.get(f"http://{host}:{port}/", max_bytes=1000)


async def test_one_request_is_sent_as_it_is_and_its_redirect_is_the_answer():
    """What webhooks need: headers and body go out, but the framing is ours."""
    received = []

    async def handler(head: bytes, writer: asyncio.StreamWriter) -> None:
        received.append(head.lower())
        writer.write(redirect("http://127.0.0.1:1/"))

    async with serve(handler) as port:
        client = EgressClient(allow=Allowance.parse(f"127.0.0.1:{port}"))
        answer = await client.send(
            "POST",
            f"http://127.0.0.1:{port}/hook",
            headers={"webhook-id": "msg_1", "Host": "evil.example", "Content-Length": "99"},
            content=b"{}",
            max_bytes=10,
            https_only=True,
        )

    assert answer.status == 302
    assert answer.headers["location"] == "http://127.0.0.1:1/"
    assert received[0].startswith(b"post /hook http/1.1\r\n")
    assert b"webhook-id: msg_1\r\n" in received[0]
    assert b"content-length: 2\r\n" in received[0]
    assert b"evil.example" not in received[0]


async def test_a_long_answer_to_one_request_is_cut_off():
    """A webhook was delivered, however much its receiver has to say."""
    async with serve(answers(ok(b"x" * 5000))) as port:
        client = EgressClient(allow=Allowance.parse(f"127.0.0.1:{port}"))
        answer = await client.send("POST", f"http://127.0.0.1:{port}/", max_bytes=10)

    assert answer.status == 200
    assert answer.content == b"x" * 10


async def test_http_is_refused_where_https_is_demanded():
    with pytest.raises(UrlRefused):
        await EgressClient().send("POST", "http://example.com/", max_bytes=1, https_only=True)


OPENSSL = (
    "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
    "-subj /CN=right.example.com -addext subjectAltName=DNS:right.example.com"
)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for right.example.com, and its key."""
    if not shutil.which("openssl"):
        pytest.skip("openssl makes the certificate")
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        [*OPENSSL.split(), "-keyout", key, "-out", cert],
        check=True,
        capture_output=True,
    )
    return cert, key


@pytest.mark.parametrize(
    ("host", "trusted", "fetched"),
    [
        ("right.example.com", True, True),
        ("wrong.example.com", True, False),
        ("right.example.com", False, False),
    ],
)
async def test_tls_verifies_the_name_in_the_url(certificate, host, trusted, fetched):
    """The connection goes to an address, yet the certificate must be the name's."""
    cert, key = certificate
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(cert, key)
    names = []
    server_side.sni_callback = lambda _socket, name, _context: names.append(name)

    async def resolver(host, port):
        return ["127.0.0.1"]

    async with serve(answers(ok(b"PNG")), tls=server_side) as port:
        client = EgressClient(
            allow=Allowance.parse(f"{host}:{port}"),
            resolver=resolver,
            ssl_context=ssl.create_default_context(cafile=cert) if trusted else None,
        )
        if fetched:
            await client.get(f"https://{host}:{port}/", max_bytes=1000)
        else:
            with pytest.raises(UrlUnreachable, match="certificate"):
                await client.get(f"https://{host}:{port}/", max_bytes=1000)

    assert names == [host]


async def test_a_tls_handshake_without_end_is_given_up_in_time():
    """And its connection is closed, which httpcore2 alone would leave open."""
    recorder = Recorder()
    async with serve(answers(b"")) as port:
        client = EgressClient(
            allow=Allowance.parse(f"127.0.0.1:{port}"),
            connector=recorder,
            total_timeout_s=0.05,
            ssl_context=ssl.create_default_context(),
        )
        with pytest.raises(UrlUnreachable, match="too long"):
            await client.get(f"https://127.0.0.1:{port}/", max_bytes=1000)

    assert recorder.streams[0].get_extra_info("socket").fileno() == -1


async def test_https_to_a_server_without_tls_is_unreachable():
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        client = EgressClient(allow=Allowance.parse(f"127.0.0.1:{port}"))
        with pytest.raises(UrlUnreachable, match="secure"):
            await client.get(f"https://127.0.0.1:{port}/", max_bytes=1000)
