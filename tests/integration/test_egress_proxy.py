"""Image URLs through a proxy, for networks that have no other way out."""

import asyncio
import base64
import socket
from contextlib import asynccontextmanager

import httpcore2
import pytest

from app.egress import Allowance, EgressClient
from app.errors import ConfigurationError, UrlRefused, UrlUnreachable
from app.settings import Settings, load_settings
from tests.loopback import loopback, redirect, reply


async def no_resolver(host, port):
    raise AssertionError("names are the proxy's to look up")


class Proxy:
    """Forwards what it is asked for to one place, and keeps the heads of requests."""

    def __init__(self, host: str, port: int) -> None:
        self.place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self.heads: list[str] = []


@asynccontextmanager
async def proxy(to: str, at: str = "127.0.0.1"):
    host, _, port = to.partition(":")

    async def talk(reader, writer):
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            made.heads.append(head)
            method, url, _ = head.split(" ", 2)
            if method == "CONNECT":
                # Nothing here speaks TLS: what matters is what the proxy is asked for.
                writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
                return
            there, back = await asyncio.open_connection(host, int(port))
            path = "/" + url.split("/", 3)[3]
            back.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            writer.write(await there.read())
            back.close()
        finally:
            await writer.drain()
            writer.close()

    server = await asyncio.start_server(talk, at, 0)
    made = Proxy(at, server.sockets[0].getsockname()[1])
    try:
        yield made
    finally:
        server.close()
        await server.wait_closed()


@pytest.fixture
async def web():
    pages = {
        "/rose.jpg": reply(b"a rose"),
        "/moved": redirect("http://images.example.com/rose.jpg"),
        "/inside": redirect("http://10.0.0.1/rose.jpg"),
    }
    async with loopback(pages) as served:
        yield served


@pytest.fixture
async def through(web):
    async with proxy(web.place) as made:
        yield made


@pytest.fixture
def client(through):
    return EgressClient(proxy=f"http://{through.place}", resolver=no_resolver)


@pytest.mark.parametrize("path", ["/rose.jpg", "/moved"])
async def test_the_proxy_is_asked_and_no_name_is_looked_up(client, through, path):
    found = await client.get(f"http://images.example.com{path}", max_bytes=1000)

    assert found.content == b"a rose"
    assert through.heads[0].startswith(f"GET http://images.example.com:80{path} HTTP/1.1\r\n")


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
@pytest.mark.parametrize("credentials", ["", "shop:secret@"])
async def test_a_proxy_may_have_an_ipv6_address(web, credentials):
    """As the setting takes it."""
    async with proxy(web.place, at="::1") as through:
        url = Settings(egress_proxy=f"http://{credentials}{through.place}").egress_proxy
        client = EgressClient(proxy=url.get_secret_value(), resolver=no_resolver)
        found = await client.get("http://images.example.com/rose.jpg", max_bytes=1000)

    assert found.content == b"a rose"
    assert through.heads[0].startswith("GET http://images.example.com:80/rose.jpg HTTP/1.1\r\n")
    assert ("proxy-authorization" in through.heads[0].lower()) == bool(credentials)


@pytest.mark.parametrize(
    ("url", "place"),
    [("http://[::1]", ("::1", 80)), ("https://[2001:db8::1]", ("2001:db8::1", 443))],
)
async def test_a_proxy_without_a_port_is_asked_at_its_schemes_own(url, place):
    """Also when its address holds colons."""

    class Connector(httpcore2.AnyIOBackend):
        async def connect_tcp(self, host, port, **_):
            connected.append((host, port))
            raise httpcore2.ConnectError("nobody there")

    connected = []
    client = EgressClient(proxy=url, resolver=no_resolver, connector=Connector())
    with pytest.raises(UrlUnreachable):
        await client.get("http://images.example.com/rose.jpg", max_bytes=1000)

    assert connected == [place]


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("http://[2606:4700::1111]/rose.jpg", "GET http://[2606:4700::1111]:80/rose.jpg HTTP/1.1"),
        ("https://[2606:4700::1111]/rose.jpg", "CONNECT [2606:4700::1111]:443 HTTP/1.1"),
    ],
)
async def test_a_proxy_is_told_ipv6_addresses_in_brackets(client, through, url, asked):
    try:
        await client.get(url, max_bytes=1000)
    except UrlUnreachable:
        assert asked.startswith("CONNECT")

    assert through.heads[0].startswith(f"{asked}\r\n")


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/rose.jpg",
        "http://169.254.169.254/latest/meta-data",
        "http://[::1]/",
        "http://0x7f.1/",
        "http://localhost/",
        "http://intranet/",
        "http://db.internal/",
        "http://images.example.com:8080/",
        "http://user@images.example.com/",
        "ftp://images.example.com/",
    ],
)
async def test_names_and_literals_are_judged_all_the_same(client, through, url):
    with pytest.raises(UrlRefused):
        await client.get(url, max_bytes=1000)

    assert through.heads == []


async def test_every_hop_is_judged(client, through):
    with pytest.raises(UrlRefused):
        await client.get("http://images.example.com/inside", max_bytes=1000)

    assert len(through.heads) == 1


async def test_a_tunnel_is_asked_for_where_the_url_is_https(client, through):
    with pytest.raises(UrlUnreachable):
        await client.get("https://images.example.com/rose.jpg", max_bytes=1000)

    assert through.heads[0].startswith("CONNECT images.example.com:443 HTTP/1.1\r\n")


async def test_a_name_and_password_go_to_the_proxy_alone(web, through):
    client = EgressClient(proxy=f"http://shop:s%3Acret@{through.place}", resolver=no_resolver)
    await client.get("http://images.example.com/rose.jpg", max_bytes=1000)

    sent = base64.b64encode(b"shop:s:cret").decode()
    assert f"proxy-authorization: basic {sent}".lower() in through.heads[0].lower()


async def test_a_proxy_that_is_down_is_an_unreachable_url():
    client = EgressClient(proxy="http://127.0.0.1:1", resolver=no_resolver)

    with pytest.raises(UrlUnreachable):
        await client.get("http://images.example.com/rose.jpg", max_bytes=1000)


async def test_the_environments_proxy_plays_no_part(web, through, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", f"http://{through.place}")
    monkeypatch.setenv("ALL_PROXY", f"http://{through.place}")
    client = EgressClient(allow=Allowance.parse(web.place), connector=httpcore2.AnyIOBackend())

    await client.get(web.url("/rose.jpg"), max_bytes=1000)

    assert through.heads == []


def test_the_setting_is_a_url_and_a_secret():
    proxy = "http://shop:hush-4711@proxy.example:3128"

    assert "hush-4711" not in repr(Settings(egress_proxy=proxy))
    with pytest.raises(ValueError, match="must be a URL"):
        Settings(egress_proxy="proxy.example:3128")


@pytest.mark.parametrize(
    "url",
    [
        "http://shop:very/secret@proxy.example:3128",
        "http://shop:secret@proxy.example:very",
        "http://shop:secret@proxy.example:99999",
        "http://shop:very@[secret]:3128",
        "http://shop:secret@[::1",
        "http://shop:secret@::1",
        "http://shop:secret@[]:3128",
        "http://shop:secret@:3128",
    ],
)
def test_a_setting_that_is_no_url_is_refused_without_repeating_it(url, monkeypatch):
    """A password with a character that had to be written as %2F is what the port seems to be."""
    monkeypatch.setenv("EGRESS_PROXY", url)
    with pytest.raises(ConfigurationError, match="EGRESS_PROXY") as told:
        load_settings()

    assert "very" not in str(told.value)
    assert "secret" not in str(told.value)
