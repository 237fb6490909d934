"""Secrets at rest."""

import asyncio
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography.fernet import Fernet

from app.errors import ConfigurationError
from app.webhooks.vault import KEY_FILE, Vault

OLD, NEW = (Fernet.generate_key().decode() for _ in range(2))
SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


def test_what_is_sealed_is_read_and_not_seen():
    vault = Vault([OLD], None)
    sealed = vault.seal(SECRET)

    assert vault.read(sealed) == SECRET
    assert SECRET not in sealed


def test_a_new_key_reads_what_the_old_one_sealed():
    sealed = Vault([OLD], None).seal(SECRET)
    both = Vault([NEW, OLD], None)

    assert both.read(sealed) == SECRET
    resealed = both.reseal(sealed)
    assert Vault([NEW], None).read(resealed) == SECRET
    with pytest.raises(ConfigurationError):
        Vault([OLD], None).read(resealed)


def test_without_keys_one_is_made_and_kept(tmp_path):
    sealed = Vault([], tmp_path / "data").seal(SECRET)

    assert Vault([], tmp_path / "data").read(sealed) == SECRET
    path = tmp_path / "data" / KEY_FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [*path.parent.iterdir()] == [path]


def test_the_key_that_was_made_still_reads_when_there_are_keys(tmp_path):
    sealed = Vault([], tmp_path).seal(SECRET)

    assert Vault([NEW], tmp_path).read(sealed) == SECRET


def test_of_many_that_make_one_all_have_the_same(tmp_path):
    vaults = [Vault([], tmp_path) for _ in range(16)]
    with ThreadPoolExecutor(16) as threads:
        sealed = [*threads.map(lambda each: each.seal(SECRET), vaults)]

    assert {vaults[0].read(each) for each in sealed} == {SECRET}


async def test_of_those_who_need_it_first_at_once_all_have_the_same():
    """Of two keys the later one would hold, and what the first one sealed be lost."""
    vault = Vault([], None)

    async def seal(secret: str) -> str:
        await vault.open()
        return vault.seal(secret)

    sealed = await asyncio.gather(*(seal(str(number)) for number in range(10)))

    assert [vault.read(each) for each in sealed] == [str(number) for number in range(10)]


def test_in_memory_it_is_gone_with_the_process():
    sealed = Vault([], None).seal(SECRET)

    with pytest.raises(ConfigurationError, match="key that is not there"):
        Vault([], None).read(sealed)


def test_several_processes_have_to_be_given_one(tmp_path):
    with pytest.raises(ConfigurationError, match="WEBHOOKS_ENCRYPTION_KEYS"):
        Vault([], tmp_path, shared=True).seal(SECRET)
    assert [*tmp_path.iterdir()] == []

    Vault([], tmp_path).seal(SECRET)
    with pytest.raises(ConfigurationError, match="WEBHOOKS_ENCRYPTION_KEYS"):
        Vault([], tmp_path, shared=True).seal(SECRET)


@pytest.mark.parametrize(
    "key", ["abc", "", "ä" * 44, NEW[:-2]], ids=["short", "empty", "not ASCII", "cut"]
)
def test_what_is_no_key_is_told_and_not_repeated(key):
    with pytest.raises(ConfigurationError) as caught:
        Vault([key], None).seal(SECRET)
    assert not key or key not in str(caught.value)


def test_a_folder_that_can_not_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(ConfigurationError, match="file"):
        Vault([], tmp_path / "file").seal(SECRET)
