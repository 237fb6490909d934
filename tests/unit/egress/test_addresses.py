"""Which addresses are public: both sides of every border."""

from ipaddress import ip_address

import pytest

from app.egress.addresses import is_public

# First and last address of each excluded network, and what only looks public.
EXCLUDED = """
0.0.0.0 0.255.255.255 10.0.0.0 10.255.255.255 100.64.0.0 100.127.255.255 127.0.0.0 127.255.255.255
168.63.129.16 169.254.0.0 169.254.255.255 172.16.0.0 172.31.255.255 192.0.0.0 192.0.0.255
192.0.2.0 192.0.2.255 192.88.99.0 192.88.99.255 192.168.0.0 192.168.255.255 198.18.0.0
198.19.255.255 198.51.100.0 198.51.100.255 203.0.113.0 203.0.113.255 224.0.0.0 224.0.1.1
239.255.255.255 240.0.0.0 255.255.255.255
:: ::1 ::7f00:1 100::1 1fff:ffff:: 4000:: 5f00::1 fc00::1 fe80::1 fec0::1 ff02::1
2001:: 2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff 2001:db8:: 2001:db8:ffff:ffff:ffff:ffff:ffff:ffff
2002:: 2002:808:808::1 2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff 3fff:: 3fff:fff:ffff::1
::ffff:0:808:808 64:ff9b:1::808:808
"""
PUBLIC = """
1.0.0.0 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 168.63.129.15
168.63.129.17 169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 191.255.255.255 192.0.1.0
192.0.1.255 192.0.3.0 192.88.98.255 192.88.100.0 192.167.255.255 192.169.0.0 198.17.255.255
198.20.0.0 198.51.99.255 198.51.101.0 203.0.112.255 203.0.114.0 223.255.255.255
2000:: 2001:200:: 2001:db7:ffff:: 2001:db9:: 2001:ffff:: 2003:: 2606:4700:4700::1111 3ffe:ffff::
3fff:1000:: 3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff
"""


@pytest.mark.parametrize("text", EXCLUDED.split())
def test_an_excluded_network_is_not_public_to_its_last_address(text):
    assert not is_public(ip_address(text))


@pytest.mark.parametrize("text", PUBLIC.split())
def test_the_neighbours_of_excluded_networks_are_public(text):
    assert is_public(ip_address(text))


@pytest.mark.parametrize("prefix", ["::ffff:", "64:ff9b::"])
@pytest.mark.parametrize(
    ("inside", "public"), [("8.8.8.8", True), ("127.0.0.1", False), ("168.63.129.16", False)]
)
def test_ipv4_inside_ipv6_is_judged_as_ipv4(prefix, inside, public):
    assert is_public(ip_address(prefix + inside)) is public
