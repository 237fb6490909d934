"""Whatever a stranger writes: a public target or a refusal."""

from ipaddress import IPv4Address, IPv6Address, ip_network

from hypothesis import example, given
from hypothesis import strategies as st

from app.egress.addresses import NOT_PUBLIC_V4, NOT_PUBLIC_V6, is_public
from app.egress.policy import PORTS, follow, judge
from app.errors import UrlRefused

PIECES = (
    "http https :// : / // [ ] @ # ? % . .. - xn-- 0x 127 0 1 80 443 ::1 ::ffff: localhost com "
    "example 8.8.8.8 \\ \uff0e \u3002 \u00fc \u0661 \u200d \u212a \u00df"
)
pieces = st.sampled_from(PIECES.split())
hosts = st.lists(pieces | st.text(max_size=3), max_size=8).map("".join)
urls = st.one_of(
    st.text(),
    st.builds("http://{}".format, st.text()),
    st.builds("https://{}/{}".format, hosts, st.text(max_size=5)),
    st.builds("http://xn--{}.com".format, st.text("abcdefghijklmnopqrstuvwxyz0123456789-")),
)


@given(url=urls)
@example("http://xn--/")
@example("http://\ud800.com/")
@example("http://a.com/\ud800")
@example("http://a.com:" + "9" * 5000)
def test_a_string_is_a_public_target_or_refused(url):
    """Nothing but UrlRefused comes out, and a target holds what the rules promise."""
    try:
        target = judge(url)
    except UrlRefused:
        return

    assert target.scheme in PORTS
    assert target.port in (80, 443)
    assert target.url.isascii()
    assert target.url.isprintable()
    assert " " not in target.url
    assert target.path.startswith("/")
    assert target.literal is None or is_public(target.literal)
    assert target.literal is not None or "." in target.host
    assert judge(target.url) == target


@given(location=urls | hosts)
def test_a_redirect_leads_from_https_to_https_or_is_refused(location):
    base = judge("https://example.com/a/b?c")

    try:
        target = follow(base, location)
    except UrlRefused:
        return

    assert target.scheme == "https"


@given(network=st.sampled_from(NOT_PUBLIC_V4), data=st.data())
def test_no_address_of_an_excluded_network_is_public_in_any_form(network, data):
    """IPv4, IPv4-mapped and NAT64 agree."""
    address = data.draw(st.ip_addresses(network=network))

    assert not is_public(address)
    assert not is_public(IPv6Address(f"::ffff:{address}"))
    assert not is_public(IPv6Address(f"64:ff9b::{address}"))


@given(address=st.ip_addresses(v=4))
def test_the_forms_of_an_ipv4_address_agree(address: IPv4Address):
    assert is_public(IPv6Address(f"::ffff:{address}")) is is_public(address)
    assert is_public(IPv6Address(f"64:ff9b::{address}")) is is_public(address)


@given(address=st.ip_addresses(v=6))
def test_an_ipv6_address_is_public_in_global_unicast_only(address: IPv6Address):
    if address in ip_network("::ffff:0:0/96") or address in ip_network("64:ff9b::/96"):
        return
    if is_public(address):
        assert int(address) >> 125 == 1
        assert not any(address in network for network in NOT_PUBLIC_V6)
