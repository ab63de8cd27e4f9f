"""People behind the protocol that simulated annotators have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from textgym.comparisons import Comparison
from textgym.feedback.gathering import gather
from textgym.feedback.pairs import Pair
from textgym.feedback.store import Store


@dataclass
class HumanGatherer:
    """Has pairs judged by whoever looks into the store: a label server, or another program.

    Only judgements of the submitted pairs come out, once each; repeats and skips stay in the store. A pair is done
    when as many annotators have judged it as it needs.

    Attributes:
        store: Where the pairs go.
        pause: Seconds between two looks of :meth:`gather`.
        is_closed: Whether all who will ever judge are in the store: then nobody waits for what all of them have
            skipped.
    """

    store: Store
    pause: float = 0.2
    is_closed: bool = False
    _quotas: dict[str, int] = field(default_factory=dict, init=False, repr=False)
    _given: dict[str, str] = field(default_factory=dict, init=False, repr=False)
    _lost: Counter[str] = field(default_factory=Counter, init=False, repr=False)
    _revision: int = field(default=-1, init=False, repr=False)

    def submit(self, pairs: Sequence[Pair]) -> None:
        """Asks for judgements of these pairs; returns at once."""
        self.store.add_pairs(pairs)
        quotas = self.store.quotas()
        self._quotas.update({pair.id: quotas[pair.id] for pair in pairs})
        self._revision = -1

    def poll(self) -> list[Comparison]:
        """What came in since the last call; never blocks.

        Whoever undoes an answer that has come out already is asked again, and the new answer comes out as well.
        """
        revision = self.store.revision
        if revision == self._revision:
            return []
        known = self._known()
        self._lost = self._count_lost() if self.is_closed else Counter()
        self._given = {name: pair for name, pair in self._given.items() if name in known}
        new = {name: item for name, item in known.items() if name not in self._given}
        self._given.update({name: item.pair for name, item in new.items()})
        self._revision = revision
        return list(new.values())

    @property
    def pending(self) -> int:
        """How many judgements are still to come out of :meth:`poll`."""
        given = Counter(self._given.values())
        return sum(max(quota - given[pair] - self._lost[pair], 0) for pair, quota in self._quotas.items())

    def gather(self, pairs: Sequence[Pair], *, timeout: float | None = None) -> list[Comparison]:
        """Submits pairs and waits until people have judged them; what they have undone by then is left out.

        Args:
            pairs: What is to be compared.
            timeout: Seconds after which it returns what has come in; None waits for all.
        """
        found = gather(self, pairs, timeout=timeout, pause=self.pause)
        known = self._known()
        return [item for item in found if _name(item) in known]

    def _known(self) -> dict[str, Comparison]:
        """The judgements in force of the submitted pairs, by name."""
        return {_name(item): item for item in self._answers() if item.choice != "skip"}

    def _count_lost(self) -> Counter[str]:
        """Judgements that will not come, because those who could give them have skipped the pair; pair id -> number."""
        people = sum(person.role == "annotator" for person in self.store.annotators())
        skipped = Counter(item.pair for item in self._answers() if item.choice == "skip")
        return Counter({pair: max(self._quotas[pair] - (people - count), 0) for pair, count in skipped.items()})

    def _answers(self) -> list[Comparison]:
        """What has been said of the submitted pairs, each time they were new to somebody."""
        return [item for item in self.store.comparisons() if item.pair in self._quotas and not item.metadata["repeat"]]


def _name(item: Comparison) -> str:
    return str(item.metadata["judgement"])
