"""How an alert goes from one state to the next. Nothing is read or written here."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from app.alerts.rule import Reading, Readings, Rule
from app.identifiers import ALERT, new_id
from app.storage.alerts import AlertRow, Change

NO_DATA = timedelta(minutes=5)
"""How long an alert stands without a reading, as Prometheus keeps a series that has ended."""


def advance(
    standing: AlertRow | None, rule: Rule, subject: str, reading: Reading | None, now: datetime
) -> AlertRow | None:
    """The alert as of `now`; None: there is none. `standing` is pending or firing, or None;
    `reading` None: there are too few samples, or none."""
    if reading is None:
        return _without_reading(standing, now)
    if not rule.breaks(reading.value):
        if standing is None or standing.state == "pending":
            return None
        return replace(
            standing, state="resolved", value=reading.value, seen_at=now, resolved_at=now
        )
    if standing is None or _is_stale(standing, now):
        standing = AlertRow(
            id=new_id(ALERT, now),
            rule=rule.name,
            subject=subject,
            state="pending",
            since=now,
            seen_at=now,
            value=reading.value,
            domain=subject if rule.of_domains else None,
            **rule.told(),
        )
    seen = replace(standing, value=reading.value, seen_at=now, **rule.told())
    if seen.state == "pending" and now - seen.since >= rule.lasting:
        return replace(seen, state="firing", fired_at=now)
    return seen


def changes(
    standing: Iterable[AlertRow],
    rules: Sequence[Rule],
    readings: Mapping[str, Readings],
    now: datetime,
) -> list[Change]:
    """Changes of all standing alerts, and new ones. `readings`: by rule; a rule missing from it
    could not be read, and its alerts stay as they are."""
    before = {(each.rule, each.subject): each for each in standing}
    changed: list[Change] = []
    for rule in rules:
        found = readings.get(rule.name)
        mine = {
            subject: before.pop((name, subject))
            for name, subject in list(before)
            if name == rule.name
        }
        if found is None:
            continue
        for subject in sorted(found.keys() | mine.keys()):
            was, reading = mine.get(subject), found.get(subject)
            if reading is not None and not rule.counts(reading):
                reading = None
            is_now = advance(was, rule, subject, reading, now)
            changed += _change(was, is_now)
    for was in before.values():
        changed += _change(was, _ended(was, now, "rule_removed"))
    return changed


def _change(before: AlertRow | None, after: AlertRow | None) -> list[Change]:
    """A stale pending alert is replaced by a new one."""
    if before is not None and after is not None and before.id != after.id:
        return [Change(before, None), Change(None, after)]
    return [] if before == after else [Change(before, after)]


def _without_reading(standing: AlertRow | None, now: datetime) -> AlertRow | None:
    if standing is None:
        return None
    if standing.seen_at > now:  # the clock was set back
        return replace(standing, seen_at=now)
    if now - standing.seen_at <= NO_DATA:
        return standing
    return _ended(standing, now, "no_data")


def _ended(standing: AlertRow, now: datetime, reason: str) -> AlertRow | None:
    if standing.state == "pending":
        return None
    return replace(standing, state="resolved", resolved_at=now, reason=reason)


def _is_stale(standing: AlertRow, now: datetime) -> bool:
    """Whether a pending alert was not observed for too long, or for an unknown time because the
    clock was set back; its waiting time then starts again."""
    if standing.state != "pending":
        return False
    return now - standing.seen_at > NO_DATA or now < max(standing.since, standing.seen_at)
