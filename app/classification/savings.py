"""What was saved where no provider had to be asked: ledger entries beside those of calls."""

from dataclasses import replace
from decimal import Decimal

from app.budget import Payer
from app.classification.asking import Asked
from app.classification.question import Question
from app.errors import ClassifierError
from app.ledger import Kind, LedgerEntry
from app.result import Result
from app.traffic import Books


class Savings:
    def __init__(self, books: Books) -> None:
        self._books = books

    def beside(self, asked: Asked, question: Question, *, again: Kind) -> Asked:
        """Add a ledger entry for what was saved by making no call, or no further call, where that
        would have been billed. `again` is its kind if the answer belongs to another request."""
        answer = asked.outcome
        if asked.again:
            kind, worth_usd = again, asked.saved_usd
        else:
            kind, worth_usd = "cascade", asked.spent.spared_usd
        if isinstance(answer, ClassifierError) or worth_usd is None:
            return asked
        entry = self._books.saved(
            kind,
            question.payer,
            question.domain,
            provider=asked.spent.provider or "",
            model=answer.model,
            deployment=answer.deployment,
            worth_usd=worth_usd,
        )
        entries = [entry] if asked.again else [*asked.entries, entry]
        return replace(asked, spent=replace(asked.spent, entries=entries))

    def of_duplicate(self, batch_id: str, result: Result, worth_usd: Decimal) -> LedgerEntry:
        """The entry for an item of a batch whose answer another item has paid for."""
        entry = self._books.saved(
            "duplicate",
            Payer(result.caller, batch_id),
            result.domain,
            provider=result.provider or "",
            model=result.model or "",
            deployment=result.deployment,
            worth_usd=worth_usd,
        )
        entry.result_id = result.id
        return entry
