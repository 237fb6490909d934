"""Signatures: the vectors of others, and the reference library as the receiver."""

import base64
import json
import string
import subprocess
import sys
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from standardwebhooks import Webhook
from standardwebhooks import webhooks as reference

from app.errors import InvalidRequest
from app.webhooks.signing import (
    SignatureRefused,
    check_secret,
    new_private_key,
    new_secret,
    public_key,
    sign,
    verify,
)
from tests.service import ROOT

ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
AT = 1614265330
BODY = b'{"test": 2432232314}'
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
SEED = "VEVTVFNJR05JTkdLRVlET05PVFVTRVRISVNGT1JBTlk="
SEED_SIGNATURE = (
    "v1a,tQ9V2XOqn7jL/DQenEFpqIugdBVtiMmER5mhSkXBNwM0mkATuDe6KYYUuxqtaiHeYGb7KaaBRdM5WqyeFiL8Ag=="
)
NEW = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
OLD = "whsec_ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA="
FLOWER = (
    '{"type":"result.created","timestamp":"2026-01-02T03:04:05Z",'
    '"data":{"id":"cls_01","predicted_class":"Gänseblümchen","confidence":0.93}}'
).encode()


def base64_of(length: int) -> str:
    return base64.b64encode(bytes(range(length))).decode()


def signed_with(secret: str) -> str:
    return sign([secret], message_id=ID, timestamp=AT, body=BODY)


def headers(message_id: str, timestamp: int, signature: str) -> dict[str, str]:
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature,
    }


class TestVectors:
    def test_shared_secret(self):
        """The JavaScript library's own."""
        assert signed_with(SECRET) == SIGNATURE

    @pytest.mark.parametrize("with_public_key", [False, True])
    def test_private_key(self, with_public_key):
        """The Go library's own; a key may hold its public half."""
        seed = f"whsk_{SEED}"
        if with_public_key:
            public = base64.b64decode(public_key(seed).removeprefix("whpk_"))
            seed = f"whsk_{base64.b64encode(base64.b64decode(SEED) + public).decode()}"

        assert signed_with(seed) == SEED_SIGNATURE
        verify([public_key(seed)], headers(ID, AT, SEED_SIGNATURE), BODY, now=AT)
        verify([seed], headers(ID, AT, SEED_SIGNATURE), BODY, now=AT)

    def test_rotation_and_a_body_beyond_ascii(self):
        """Both secrets sign, in their order."""
        message_id, timestamp = "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W", 1767323045

        signed = sign([NEW, OLD], message_id=message_id, timestamp=timestamp, body=FLOWER)

        assert len(FLOWER) == 137
        assert signed == (
            "v1,/S93/sHpx0FOISEqhVPeZ47u5TkKsPS52BfBiHj391Y= "
            "v1,CmyrnirTxzXaqBi7eu0s6YYl0sk6th87bo2lJmUEwQE="
        )
        for key in (NEW, OLD):
            verify([key], headers(message_id, timestamp, signed), FLOWER, now=timestamp)


class TestReceiver:
    def test_names_of_headers_may_have_any_case(self):
        told = {name.title(): value for name, value in headers(ID, AT, SIGNATURE).items()}

        verify([SECRET], told, BODY, now=AT)

    def test_what_is_no_signature_of_a_known_version_is_skipped(self):
        odd = ["v2,AAAA", "v1a,AAAA", "v1a,!", "v1", ",", "v1,\u00e4\ud800", SEED_SIGNATURE]

        verify([SECRET], headers(ID, AT, " ".join([*odd, SIGNATURE])), BODY, now=AT)
        verify([f"whsk_{SEED}", SECRET], headers(ID, AT, f"v9,A {SIGNATURE}"), BODY, now=AT)
        with pytest.raises(SignatureRefused, match="match"):
            verify([SECRET, NEW], headers(ID, AT, " ".join(odd)), BODY, now=AT)

    def test_one_version_does_not_pass_for_the_other(self):
        """A shared secret's bytes may be a public key that everybody knows."""
        public = public_key(f"whsk_{SEED}").removeprefix("whpk_")
        forged = signed_with(f"whsec_{public}")

        with pytest.raises(SignatureRefused, match="match"):
            verify([f"whpk_{public}"], headers(ID, AT, forged), BODY, now=AT)

    @pytest.mark.parametrize("name", headers("", 0, ""))
    def test_a_header_that_is_missing_is_named(self, name):
        told = headers(ID, AT, SIGNATURE)
        del told[name]

        with pytest.raises(SignatureRefused, match=name):
            verify([SECRET], told, BODY, now=AT)

    @pytest.mark.parametrize("timestamp", ["", "-1", "+5", "1.5", "1e9", "\u0661", "1" * 5000])
    def test_a_timestamp_is_digits(self, timestamp):
        with pytest.raises(SignatureRefused, match="webhook-timestamp is missing or malformed"):
            verify([SECRET], headers(ID, timestamp, SIGNATURE), BODY, now=AT)

    def test_no_dot_moves_from_the_id_into_the_time(self):
        """`a.1.b` is signed once, and could be read twice."""
        signed = sign([SECRET], message_id="a", timestamp=1, body=b"2.b")

        with pytest.raises(SignatureRefused, match="webhook-id"):
            verify([SECRET], headers("a.1", 2, signed), b"b", now=2)

    @pytest.mark.parametrize("now", [AT - 300, AT + 300])
    def test_clocks_may_differ_by_five_minutes(self, now):
        verify([SECRET], headers(ID, AT, SIGNATURE), BODY, now=now)

    def test_the_age_is_said(self):
        with pytest.raises(SignatureRefused, match="301 s old"):
            verify([SECRET], headers(ID, AT, SIGNATURE), BODY, now=AT + 301)
        with pytest.raises(SignatureRefused, match="301 s ahead"):
            verify([SECRET], headers(ID, AT, SIGNATURE), BODY, now=AT - 301)

    def test_without_a_key_nothing_is_right(self):
        with pytest.raises(SignatureRefused):
            verify([], headers(ID, AT, SIGNATURE), BODY, now=AT)

    @pytest.mark.parametrize("key", ["whpk_", f"whpk_{base64_of(31)}", "whpk_?", "secret"])
    def test_a_key_that_is_none_is_refused_by_name(self, key):
        with pytest.raises(InvalidRequest):
            verify([key], headers(ID, AT, SIGNATURE), BODY, now=AT)


class TestSecrets:
    def test_new_ones_differ_and_are_taken(self):
        made = [new_secret(), new_secret(), new_private_key(), new_private_key()]

        assert len(set(made)) == len(made)
        assert [check_secret(each) for each in made] == made
        assert [len(base64.b64decode(each.partition("_")[2])) for each in made] == [32] * 4
        assert public_key(made[0]) is None
        assert public_key(made[2]).startswith("whpk_")

    @pytest.mark.parametrize("length", [24, 32, 64])
    def test_those_of_others_are_taken(self, length):
        assert check_secret(f"whsec_{base64_of(length)}") == f"whsec_{base64_of(length)}"

    @pytest.mark.parametrize(
        "secret",
        [
            "my-own-password",
            base64_of(32),
            f"whpk_{base64_of(32)}",
            f"WHSEC_{base64_of(32)}",
            f"whsec_{base64_of(23)}",
            f"whsec_{base64_of(65)}",
            f"whsec_{base64_of(32).rstrip('=')}",
            f"whsec_{base64_of(32)}\n",
            f"whsec_{base64_of(32)[:8]} {base64_of(32)[8:]}",
            f"whsec_{base64.urlsafe_b64encode(bytes([255] * 32)).decode()}",
            f"whsec_\u00e4{base64_of(32)}",
            "whsec_correct horse battery",
            f"whsk_{base64_of(31)}",
            f"whsk_{base64_of(64)}",
            f"whsk_{base64_of(24)}",
        ],
    )
    def test_what_is_none_is_refused_and_not_repeated(self, secret):
        """Also a private key whose halves don't belong together."""
        for take in (check_secret, public_key, signed_with):
            with pytest.raises(InvalidRequest) as refused:
                take(secret)

            told = f"{refused.value} {refused.value.fields} {refused.value.__cause__}"
            assert (secret.partition("_")[2].strip() or secret) not in told

    @pytest.mark.parametrize("message_id", ["", "a.b", "a b", "a\n", "\u00e4"])
    def test_an_id_that_could_be_read_otherwise_is_not_signed(self, message_id):
        with pytest.raises(ValueError, match="id"):
            sign([SECRET], message_id=message_id, timestamp=AT, body=BODY)

    def test_a_time_before_the_epoch_is_not_signed(self):
        with pytest.raises(ValueError, match="timestamp"):
            sign([SECRET], message_id=ID, timestamp=-1, body=BODY)


def test_what_most_endpoints_do_not_need_is_not_loaded():
    """With a shared secret, no cryptography."""
    code = """
import sys
from app.webhooks.signing import new_secret, sign, verify
key = new_secret()
told = {"webhook-id": "a", "webhook-timestamp": "1"}
told["webhook-signature"] = sign([key], message_id="a", timestamp=1, body=b"")
verify([key], told, b"", now=1)
assert not [each for each in sys.modules if each.startswith("cryptography")]
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def accepted_elsewhere(key: str, told: dict[str, str], body: bytes, *, now: float) -> bool:
    """Whether the reference library takes it at that time."""

    class Clock(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.fromtimestamp(now, tz)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reference, "datetime", Clock)
        try:
            Webhook(key).verify(body, told)
        except (reference.WebhookVerificationError, ValueError):
            return False  # ValueError: the body is not even text
    return True


def accepted_here(key: str, told: dict[str, str], body: bytes, *, now: float) -> bool:
    try:
        verify([key], told, body, now=now)
    except SignatureRefused:
        return False
    return True


def accepted(key: str, told: dict[str, str], body: bytes, *, now: float) -> set[bool]:
    return {
        accepted_here(key, told, body, now=now),
        accepted_elsewhere(key, told, body, now=now),
    }


SECRETS = st.binary(min_size=24, max_size=64).map(
    lambda raw: f"whsec_{base64.b64encode(raw).decode()}"
)
IDS = st.text(string.ascii_letters + string.digits + "_-", min_size=1, max_size=60)
TIMES = st.integers(min_value=1000, max_value=int(datetime(2200, 1, 1, tzinfo=UTC).timestamp()))
BODIES = st.dictionaries(
    st.text(st.characters(codec="utf-8"), max_size=9),
    st.one_of(st.text(st.characters(codec="utf-8"), max_size=99), st.integers(), st.none()),
    max_size=5,
).map(lambda value: json.dumps(value, ensure_ascii=False).encode())


class TestAsTheReferenceLibrary:
    @given(SECRETS, SECRETS, IDS, TIMES, BODIES, st.integers(-300, 300))
    @settings(max_examples=200, deadline=None)
    def test_what_is_signed_is_taken(self, key, other, message_id, at, body, late_s):
        """By whoever has one of the secrets, within five minutes."""
        keys = [other, key]
        told = headers(message_id, at, sign(keys, message_id=message_id, timestamp=at, body=body))

        for each in keys:
            assert accepted(each, told, body, now=at + late_s) == {True}

    @given(SECRETS, IDS, TIMES, BODIES, st.data())
    @settings(max_examples=200, deadline=None)
    def test_what_was_changed_is_refused(self, key, message_id, at, body, data):
        """One bit of the body, the id, the time, or the secret."""
        told = headers(message_id, at, sign([key], message_id=message_id, timestamp=at, body=body))
        bit = data.draw(st.integers(0, len(body) * 8 - 1), label="bit")
        flipped = bytearray(body)
        flipped[bit // 8] ^= 1 << bit % 8
        other_id = data.draw(IDS.filter(lambda each: each != message_id), label="other id")
        other_key = data.draw(SECRETS.filter(lambda each: each != key), label="other secret")

        assert accepted(key, told, bytes(flipped), now=at) == {False}
        assert accepted(key, told | {"webhook-id": other_id}, body, now=at) == {False}
        assert accepted(key, told | {"webhook-timestamp": str(at + 1)}, body, now=at) == {False}
        assert accepted(other_key, told, body, now=at) == {False}

    @given(SECRETS, IDS, TIMES, BODIES, st.sampled_from([-301, 301]))
    @settings(max_examples=100, deadline=None)
    def test_another_time_is_refused(self, key, message_id, at, body, late_s):
        told = headers(message_id, at, sign([key], message_id=message_id, timestamp=at, body=body))

        assert accepted(key, told, body, now=at + late_s) == {False}

    @given(st.binary(min_size=32, max_size=32), IDS, TIMES, st.binary(max_size=99), st.data())
    @settings(max_examples=100, deadline=None)
    def test_a_private_keys_signature_holds_by_its_public_key(
        self, seed, message_id, at, body, data
    ):
        """Beside a shared secret's, which the reference library takes as before."""
        private = f"whsk_{base64.b64encode(seed).decode()}"
        other = data.draw(st.binary(min_size=32, max_size=32).filter(lambda each: each != seed))
        stranger = public_key(f"whsk_{base64.b64encode(other).decode()}")
        signature = sign([private, SECRET], message_id=message_id, timestamp=at, body=body)
        told = headers(message_id, at, signature)

        assert accepted_here(public_key(private), told, body, now=at)
        assert accepted_here(SECRET, told, body, now=at)
        assert not accepted_here(public_key(private), told, body + b" ", now=at)
        assert not accepted_here(stranger, told, body, now=at)
