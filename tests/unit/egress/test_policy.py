"""The policy for strangers' URLs, rule by rule."""

from ipaddress import ip_address

import pytest

from app.egress.policy import MAX_URL, Allowance, checked, follow, judge
from app.errors import ConfigurationError, UrlRefused

REFUSED = {
    "empty": [""],
    "too long": ["https://example.com/" + "a" * (MAX_URL - 19)],
    "controls, spaces, backslashes": [
        " https://example.com/",
        "https://example.com/ ",
        "https://example.com/a b",
        "https://example.com\\@127.0.0.1/",
        "https:\\\\example.com/",
        "ht\ntp://example.com/",
        "https://example.com/\x00",
        "https://example.com/\x7f",
        "https://example.com/\ud800",
    ],
    "scheme": [
        "file:///etc/passwd",
        "ftp://example.com/",
        "blob:https://example.com/1",
        "data:image/png;base64,AAAA",
        "http\u017f://example.com/",
        "http+unix://example.com/",
        "//example.com/",
        "example.com",
        "/etc/passwd",
        "http:example.com",
        "http:/example.com/",
        "://example.com/",
    ],
    "no host": [
        "http://",
        "http:///a",
        "http://:80/",
        "http://#example.com",
        "http://?a",
        "http://.",
    ],
    "user info": [
        "http://user:pass@example.com/",
        "http://@example.com/",
        "http://example.com:80@127.0.0.1/",
        "http://1.2.3.4@example.com?a",
    ],
    "port": [
        "http://example.com:22/",
        "http://example.com:8443/",
        "http://example.com:0/",
        "http://example.com:65616/",
        "http://example.com:/",
        "http://example.com:080/",
        "http://example.com:+80/",
        "http://example.com:80:22/",
        "http://example.com:\uff18\uff10/",
        "http://[2606:4700::1]:22/",
        "http://example.com:" + "8" * 5000,
    ],
    "address spelling": [
        "http://134744072/",
        "http://0x08080808/",
        "http://0x/",
        "http://example.0x8/",
        "http://example.8/",
        "http://010.8.8.8/",
        "http://8.8.8.08/",
        "http://0x8.8.8.8/",
        "http://8.8/",
        "http://8.8.8.256/",
        "http://8.8.8.8.8/",
        "http://8.8.8.8./",
        "http://[8.8.8.8]/",
        "http://[2606:4700::1%25eth0]/",
        "http://[2606:4700::1%eth0]/",
        "http://[2606:4700::1].example.com/",
        "http://[2606:4700::1]./",
        "http://[2606:4700::1/",
        "http://2606:4700::1/",
        "http://2606:4700::1]/",
        "http://[]/",
        "http://[v1.a]/",
        "http://[::ffff:8.8.8.010]/",
    ],
    "name": [
        "http://exa%6dple.com/",
        "http://example%2ecom/",
        "http://a..example.com/",
        "http://.example.com/",
        "http://example.com../",
        "http://" + "a" * 64 + ".example.com/",
        "http://" + "a." * 124 + "example.com/",
        "http://-a.example.com/",
        "http://a-.example.com/",
        "http://a_b.example.com/",
        "http://a;b.example.com/",
        "http://a,b.example.com/",
        "http://*.example.com/",
    ],
    "not ascii": [
        "http://\uff11\uff12\uff17.\uff10.\uff10.\uff11/",
        "http://127\u30020\u30020\u30021/",
        "http://example\uff0ecom/",
        "http://ex\u24d0mple.com/",
        "http://exam\u00adple.com/",
        "http://exam\u200bple.com/",
        "http://exam\u200dple.com/",
        "http://\u202eexample.com/",
        "http://e\u212aample.com/",
        "http://\ufb01le.example.com/",
        "http://example.com\uff0f.example.net/",
        "http://u\u0308ber.example.com/",
        "http://\u0661\u0662\u0667.\u0660.\u0660.\u0661/",
        "http://" + "\u00fc" * 64 + ".example.com/",
        "http://xn--b\u00fccher.example.com/",
    ],
    "punycode": [
        "http://xn--.example.com/",
        "http://xn--a.example.com/",
        "http://XN--A.example.com/",
        "http://xn--example-.example.com/",
        "http://xn--99999999999.example.com/",
    ],
    "internal name": [
        "http://intranet/",
        "http://localhost/",
        "http://LOCALHOST./",
        "http://app.localhost/",
        "http://printer.local/",
        "http://vault.internal/",
        "http://home.arpa/",
        "http://nas.home.arpa/",
        "http://a.onion/",
        "http://a.invalid/",
        "http://a.localdomain/",
    ],
    "not public": [
        "http://127.0.0.1/",
        "http://169.254.169.254/latest",
        "http://168.63.129.16/",
        "http://[::1]/",
        "http://[::]/",
        "http://[::ffff:10.0.0.1]/",
        "http://[64:ff9b::7f00:1]/",
        "http://[2002:808:808::1]/",
        "http://127.0.0.1#@example.com/",
    ],
}


@pytest.mark.parametrize(
    "url",
    [pytest.param(u, id=f"{rule}-{i}") for rule in REFUSED for i, u in enumerate(REFUSED[rule])],
)
def test_a_url_against_the_rules_is_refused(url):
    with pytest.raises(UrlRefused):
        judge(url)


@pytest.mark.parametrize(
    ("url", "host", "port", "path"),
    [
        ("HTTPS://Example.COM/A.jpg", "example.com", 443, "/A.jpg"),
        ("http://example.com", "example.com", 80, "/"),
        ("http://example.com./a", "example.com", 80, "/a"),
        ("http://example.com?a=/b", "example.com", 80, "/?a=/b"),
        ("https://example.com:80/", "example.com", 80, "/"),
        (
            "https://example.com/@m/a?u=http://127.0.0.1/#@x",
            "example.com",
            443,
            "/@m/a?u=http://127.0.0.1/",
        ),
        ("https://example.com/caf%C3%A9|\u732b", "example.com", 443, "/caf%C3%A9|%E7%8C%AB"),
        ("https://b\u00fccher.example.com/", "xn--bcher-kva.example.com", 443, "/"),
        ("https://B\u00fccher.example.com/", "xn--bcher-kva.example.com", 443, "/"),
        ("https://XN--bcher-kva.example.com/", "xn--bcher-kva.example.com", 443, "/"),
        ("https://stra\u00dfe.example.com/", "xn--strae-oqa.example.com", 443, "/"),
        ("https://r3---sn.example.com/", "r3---sn.example.com", 443, "/"),
        ("https://127.example.com/", "127.example.com", 443, "/"),
        ("https://internal.example.com/", "internal.example.com", 443, "/"),
        ("http://8.8.8.8/", "8.8.8.8", 80, "/"),
        ("http://[2606:4700:0:0:0:0:0:1]:443/", "2606:4700::1", 443, "/"),
        ("https://[64:ff9b::8.8.8.8]/", "64:ff9b::808:808", 443, "/"),
    ],
)
def test_an_ordinary_url_is_read_into_its_parts(url, host, port, path):
    target = judge(url)

    assert (target.host, target.port, target.path) == (host, port, path)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/a?b",
        "http://example.com:443/",
        "https://[2606:4700::1]:80/",
        "http://8.8.8.8/",
    ],
)
def test_a_target_is_the_url_it_was_read_from(url):
    assert judge(url).url == url


def test_a_refusal_repeats_neither_credentials_nor_query():
    with pytest.raises(UrlRefused) as refusal:
        judge("http://user:s3cret@10.0.0.1:22/a?sig=s3cret")

    assert "s3cret" not in str(refusal.value)


ALLOW = Allowance.parse(" minio:9000, files.internal , 10.1.0.0/16,fd00::/8,[::1]:9001,192.168.7.7")


@pytest.mark.parametrize(
    "url",
    [
        "http://minio:9000/a",
        "http://files.internal/a",
        "http://FILES.internal.:8080/a",
        "http://10.1.2.3:5000/a",
        "http://[fd00::1]/a",
        "http://[::1]:9001/a",
        "http://192.168.7.7:81/a",
        "http://[::ffff:10.1.2.3]/a",
    ],
)
def test_what_is_allowed_is_free_of_the_rules_for_ports_names_addresses_and_https(url):
    assert judge(url, ALLOW, https_only=True).exempt


@pytest.mark.parametrize(
    "url",
    [
        "http://minio/a",
        "http://minio:9001/a",
        "http://x.files.internal/a",
        "http://10.2.0.1/a",
        "http://[::1]/a",
        "http://user@minio:9000/a",
        "http://minio:9000\\a",
        "ftp://minio:9000/a",
        "http://10.1.515/a",
        "http://0xa.1.2.3/a",
        "http://files%2einternal/a",
    ],
)
def test_an_allowance_covers_what_it_names_and_no_other_spelling(url):
    with pytest.raises(UrlRefused):
        judge(url, ALLOW)


@pytest.mark.parametrize(
    "entry", ["10.0.0.1/8", "a b", "host:99999", "http://minio", "[::1", "1.2.3"]
)
def test_a_wrong_allowance_is_named(entry):
    with pytest.raises(ConfigurationError, match="EGRESS_ALLOW"):
        Allowance.parse(["minio", entry])


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("/b", "https://example.com/b"),
        ("b?c#d", "https://example.com/x/b?c"),
        ("../b", "https://example.com/b"),
        ("../../../b/./c/..", "https://example.com/b/"),
        (".", "https://example.com/x/"),
        ("?c", "https://example.com/x/y?c"),
        ("#c", "https://example.com/x/y?z=/1/"),
        ("//example.net/b", "https://example.net/b"),
        ("HTTPS://example.net", "https://example.net/"),
        ("/..//example.net", "https://example.com//example.net"),
    ],
)
def test_a_redirect_is_joined_to_the_url_it_came_from(location, url):
    assert follow(judge("https://example.com/x/y?z=/1/"), location).url == url


@pytest.mark.parametrize(
    "location",
    [
        "",
        " /b",
        "/b\n",
        "\\\\example.net",
        "/\\example.net",
        "http://example.com/x/y",
        "https:b",
        "https:/example.net/",
        "///example.net",
        "//127.0.0.1/",
        "//user@example.net/",
        "https://example.net:6379/",
        "file:///etc/passwd",
        "javascript:1",
        "/" + "a" * MAX_URL,
    ],
)
def test_a_redirect_against_the_rules_is_refused(location):
    with pytest.raises(UrlRefused):
        follow(judge("https://example.com/x/y"), location)


def test_a_redirect_may_go_to_https_and_to_what_is_allowed():
    """https never goes to http, but for what EGRESS_ALLOW names."""
    assert follow(judge("http://example.com/"), "https://example.com/").scheme == "https"
    assert follow(judge("https://example.com/"), "http://minio:9000/", ALLOW).exempt


def test_all_answers_are_kept_once():
    answers = ["1.1.1.1", "2606:4700::1", "1.1.1.1"]

    addresses = checked(judge("http://example.com/"), answers)

    assert addresses == (ip_address("1.1.1.1"), ip_address("2606:4700::1"))


@pytest.mark.parametrize(
    "answers",
    [
        [],
        ["10.0.0.1"],
        ["1.1.1.1", "127.0.0.1"],
        ["1.1.1.1", "::ffff:10.0.0.1"],
        ["1.1.1.1", "2606:4700::1%eth0"],
        ["1.1.1.1", "example.com"],
    ],
)
def test_one_bad_answer_refuses_the_host(answers):
    """The message doesn't tell a stranger where an internal name leads."""
    with pytest.raises(UrlRefused) as refusal:
        checked(judge("http://example.com/"), answers)

    assert "10.0.0.1" not in str(refusal.value)


def test_an_answer_in_an_allowed_network_is_as_good_as_a_public_one():
    target = judge("http://images.example.com/", ALLOW)

    assert len(checked(target, ["10.1.2.3", "1.1.1.1"], ALLOW)) == 2
    with pytest.raises(UrlRefused):
        checked(target, ["10.1.2.3", "10.2.0.1"], ALLOW)
