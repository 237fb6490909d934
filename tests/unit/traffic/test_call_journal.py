"""What a process that was killed had begun, and what of it is found."""

import shutil
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from structlog.testing import capture_logs

from app.errors import StorageUnavailable
from app.ledger import LedgerEntry, new_call_id
from app.traffic import CallJournal
from app.traffic.call_journal import MAX_CALLS, RECORD, SLOT

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
GUESSED, BILLED = Decimal("0.0009"), Decimal("0.000475")


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "calls"


@pytest.fixture
def journal(folder):
    """Of a process that lives."""
    folder.mkdir()
    journal = CallJournal(folder, "prc_first")
    journal.open()
    yield journal
    journal.close()


@pytest.fixture
def killed(folder, tmp_path):
    """What is found when the processes are killed now, whose folder it is; `spoil` changes the
    first one's file."""

    def killed(spoil=bytes):
        copy = tmp_path / "left"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(folder, copy)
        (copy / "0").write_bytes(spoil((copy / "0").read_bytes()))
        with CallJournal(copy, "prc_second").dead_processes() as dead:
            return dead

    return killed


def call(**values) -> LedgerEntry:
    """As it is noted before it is made."""
    entry = LedgerEntry(
        id=new_call_id(NOON),
        at=NOON,
        process="prc_first",
        provider="azure_openai",
        model="gpt-4o",
        deployment="east",
        tariff="global_standard",
        caller="shop",
        domain="flowers",
        prompt_tokens=200,
        completion_tokens=32,
        cost_usd=GUESSED,
        estimated=True,
    )
    return replace(entry, **values)


def ended(entry: LedgerEntry) -> LedgerEntry:
    entry.outcome, entry.cost_usd, entry.estimated = "answered", BILLED, False
    return entry


def test_a_call_without_an_end_is_found_as_it_was_guessed(journal, killed):
    entry = call(batch_id="bat_1")
    journal.begin(entry)

    (dead,) = killed()

    assert dead.name == "prc_first"
    assert dead.entries == (entry,)
    assert dead.entries[0].estimated


def test_a_call_that_ended_is_found_with_its_bill(journal, killed):
    entry = call()
    slot = journal.begin(entry)
    journal.end(slot, ended(entry))

    ((found,),) = (each.entries for each in killed())

    assert found == entry
    assert (found.cost_usd, found.estimated) == (BILLED, False)


def test_a_call_whose_price_is_not_known_is_found_without_one(journal, killed):
    journal.begin(call(cost_usd=None))

    assert killed()[0].entries[0].cost_usd is None


def test_what_is_forgotten_is_not_found(journal, killed):
    """Nor when another call has its place, and did not end."""
    first, second = call(), call()
    slot = journal.begin(first)
    journal.end(slot, ended(first))
    journal.forget(slot)
    nothing = killed()
    journal.begin(second)

    assert nothing[0].entries == ()
    assert killed()[0].entries == (second,)


@pytest.mark.parametrize("written", [0, 1, 40, 200])
def test_a_bill_that_was_written_half_is_none(journal, killed, written):
    """The call is found as it was guessed."""
    entry = call()
    slot = journal.begin(entry)
    guessed = killed()[0].entries
    journal.end(slot, ended(entry))

    def spoil(content: bytes) -> bytes:
        begins = slot + RECORD
        return content[: begins + written].ljust(begins + RECORD, b"\0") + content[slot + SLOT :]

    assert killed(spoil)[0].entries == guessed


def test_a_record_that_makes_no_sense_is_told(journal, killed):
    """And keeps no other from being found."""
    slot, entry = journal.begin(call()), call()
    journal.begin(entry)

    for nonsense in (b"[1,", b"[1]\n", b"[" + b"1," * 22 + b"1]\n"):
        with capture_logs() as logs:
            (dead,) = killed(
                lambda each, text=nonsense: each[:slot] + text + each[slot + len(text) :]
            )

        assert dead.entries == (entry,)
        assert [each["log_level"] for each in logs] == ["error"]


def test_the_longest_names_have_room(journal, killed):
    entry = call(
        model='"' * 100,
        deployment="\\" * 100,
        caller="c" * 64,
        domain="d" * 64,
        batch_id="b" * 40,
        result_id="r" * 40,
        cost_usd=Decimal("123456.123456789012"),
    )
    journal.begin(entry)

    assert killed()[0].entries == (entry,)


def test_what_has_no_room_is_no_record_and_harms_no_other(journal, killed):
    first, second = call(), call()
    journal.begin(first)
    slot = journal.begin(call(model="m" * SLOT))
    journal.begin(second)
    with capture_logs() as logs:
        found = killed()[0].entries
    journal.forget(slot)

    assert {each.id for each in found} == {first.id, second.id}
    assert [each["log_level"] for each in logs] == ["error"]


def test_a_full_journal_takes_no_call(journal):
    """Before one of them is stored."""
    slots = [journal.begin(call()) for _ in range(MAX_CALLS)]
    with pytest.raises(StorageUnavailable):
        journal.begin(call())
    journal.forget(slots[7])

    assert journal.begin(call()) == slots[7]


def test_the_living_are_left_alone(journal, folder):
    journal.begin(call())

    with CallJournal(folder, "prc_second").dead_processes() as dead:
        assert dead == []


def test_what_goes_wrong_within_leaves_it_for_the_next(journal, folder):
    entry = call()
    journal.begin(entry)
    journal.close()
    second = CallJournal(folder, "prc_second")

    with pytest.raises(StorageUnavailable), second.dead_processes():
        raise StorageUnavailable("The database can't be written.")
    with second.dead_processes() as found:
        pass
    with second.dead_processes() as nothing:
        pass

    assert [each.entries for each in found] == [(entry,)]
    assert nothing == []


def test_nobody_writes_over_what_a_dead_process_left(journal, folder):
    """It died after the other had looked for the dead, and before that one had a file."""
    entry = call()
    journal.begin(entry)
    journal.close()
    second = CallJournal(folder, "prc_second")
    second.open()
    with second.dead_processes() as dead:
        pass
    second.close()

    assert [each.entries for each in dead] == [(entry,)]


def test_a_clean_end_leaves_nothing(journal, folder):
    journal.forget(journal.begin(call()))
    journal.close()

    assert [each.name for each in folder.iterdir()] == ["0.lock"]


def test_where_nothing_can_be_written_calls_are_made_all_the_same(tmp_path):
    """It is said; in memory nothing is to be written."""
    (tmp_path / "file").touch()
    with capture_logs() as logs:
        for folder in (tmp_path / "file", None):
            journal = CallJournal(folder, "prc_first")
            journal.open()
            journal.end(journal.begin(call()), call())
            journal.close()

    assert [each["log_level"] for each in logs] == ["warning"]
