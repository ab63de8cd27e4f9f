"""RewardModel: one or more fitted scorers, what they learned of the judges, and a card that says where from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from textgym.episodes import EpisodeBatch
from textgym.errors import ConfigurationError, unknown_name
from textgym.preference_models.cards import FORMAT, read_folder, write_folder
from textgym.preference_models.judging import Judging
from textgym.preference_models.ngram_members import NGramMember
from textgym.preference_models.settings import AGGREGATES, KINDS
from textgym.tokenizers import fingerprint

Floats = NDArray[np.float64]

COEFFICIENT = 1.0


class Member(Protocol):
    """One scorer of an ensemble."""

    def score(self, batch: EpisodeBatch) -> Floats:
        """``(B,)`` scores on the member's own scale."""
        ...

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All that was learned."""
        ...

    def describe(self) -> dict[str, Any]:
        """What else is needed to bring the member back, as JSON."""
        ...


@dataclass(frozen=True, eq=False)
class Place:
    """A member and its scale.

    Attributes:
        member: The scorer.
        center: What its scores are on the mean over the training texts.
        spread: Their standard deviation there.
        judging: How judges choose by its rewards.
        seed: Of its first weights and its resample.
    """

    member: Member
    center: float
    spread: float
    judging: Judging
    seed: int


@dataclass(frozen=True, eq=False)
class RewardModel:
    """A reward model learned from comparisons.

    Rewards have mean 0 and standard deviation 1 over the training texts, in each member of an ensemble.

    Attributes:
        kind: "ngram", "mlp", "gru", "transformer" or "head" (a Hugging Face model).
        places: The members with their scales.
        card: Format, data, environment, metrics and seeds, as :mod:`textgym.preference_models.cards` checks them;
            without the members.
        limit: Rewards are clipped to minus and plus this.
        aggregate: How members are made one: "mean", "worst" (the lowest of them) or "mean_minus_variance".
        coefficient: What a unit of variance costs in the last of these.
    """

    kind: str
    places: tuple[Place, ...]
    card: Mapping[str, Any]
    limit: float = 10.0
    aggregate: str = "mean"
    coefficient: float = COEFFICIENT

    def __post_init__(self) -> None:
        check_aggregate(self.aggregate, self.coefficient)

    @property
    def range(self) -> tuple[float, float]:
        """Lowest and highest reward."""
        return -self.limit, self.limit

    @property
    def tokenizer_fingerprint(self) -> str | None:
        """The one vocabulary that the model knows; None where it reads strings."""
        return None if self.kind == "head" else str(self.card["tokenizer"]["fingerprint"])

    def combined(self, aggregate: str, coefficient: float = COEFFICIENT) -> RewardModel:
        """The same members, made one in another way."""
        return replace(self, aggregate=aggregate, coefficient=coefficient)

    def member_scores(self, batch: EpisodeBatch) -> Floats:
        """``(M, B)`` rewards of each member."""
        self._check(batch)
        scores = np.empty((len(self.places), len(batch)))
        if len(batch):
            for row, place in zip(scores, self.places, strict=True):
                row[:] = (place.member.score(batch) - place.center) / place.spread
        return np.clip(scores, -self.limit, self.limit, out=scores)

    def score(self, batch: EpisodeBatch) -> Floats:
        """``(B,)`` rewards, which do not depend on what is scored together."""
        return self.join(self.member_scores(batch))

    def __call__(self, batch: EpisodeBatch) -> Floats:
        """The same as :meth:`score`: a model in memory is a reward."""
        return self.score(batch)

    def join(self, scores: Floats) -> Floats:
        """``(B,)`` rewards of the members' ``(M, B)``."""
        if self.aggregate == "worst":
            return np.asarray(scores.min(axis=0))
        mean = _mean(scores)
        if self.aggregate == "mean":
            return mean
        return np.clip(mean - self.coefficient * _mean((scores - mean) ** 2), -self.limit, self.limit)

    def probabilities(self, left: EpisodeBatch, right: EpisodeBatch, annotators: Sequence[str] | None = None) -> Floats:
        """``(B, 3)`` probabilities of left, a tie and right: the mean over the members, however rewards are joined."""
        return self.predict(self.member_scores(left), self.member_scores(right), annotators)

    def predict(self, left: Floats, right: Floats, annotators: Sequence[str] | None = None) -> Floats:
        """The same from the members' rewards ``(M, B)`` on both sides."""
        rows = zip(self.places, left, right, strict=True)
        tables = [place.judging.probabilities(one, other, annotators) for place, one, other in rows]
        return np.asarray(sum(tables) / len(tables))

    @property
    def ngrams(self) -> NGramMember | None:
        """The n-gram model, where the reward is exactly that of one."""
        member = self.places[0].member
        return member if len(self.places) == 1 and isinstance(member, NGramMember) else None

    def full_card(self) -> dict[str, Any]:
        """The card with the members."""
        members = [
            {
                "seed": place.seed,
                "center": place.center,
                "spread": place.spread,
                "judging": place.judging.as_json(),
                "description": place.member.describe(),
            }
            for place in self.places
        ]
        return {"format": FORMAT, "kind": self.kind, **self.card, "limit": self.limit, "members": members}

    def save(self, folder: str | Path) -> None:
        """Writes the model into a folder, which is replaced as a whole.

        Raises:
            ConfigurationError: if something else than a reward model is there.
        """
        arrays = {
            f"{number}.{name}": array
            for number, place in enumerate(self.places)
            for name, array in place.member.arrays().items()
        }
        write_more = getattr(self.places[0].member, "write_files", None)
        write_folder(Path(folder), self.full_card(), arrays, write_more)

    @classmethod
    def load(cls, folder: str | Path) -> RewardModel:
        """Reads what :meth:`save` wrote. Nothing is unpickled.

        Raises:
            ConfigurationError: for a pickle, a folder without a reward model, and one that is damaged.
        """
        card, arrays = read_folder(Path(folder))
        groups: list[dict[str, NDArray[Any]]] = [{} for _ in card["members"]]
        for name, array in arrays.items():
            number, _, rest = name.partition(".")
            if not number.isdigit() or int(number) >= len(groups):
                raise ConfigurationError(f"{str(folder)!r} has weights {name!r} of a member that is not on its card")
            groups[int(number)][rest] = array
        places = tuple(
            Place(
                _restore(card, group, member["description"], Path(folder)),
                float(member["center"]),
                float(member["spread"]),
                Judging.from_json(member["judging"]),
                member["seed"],
            )
            for group, member in zip(groups, card["members"], strict=True)
        )
        kept = {key: value for key, value in card.items() if key not in ("format", "kind", "limit", "members")}
        return cls(card["kind"], places, kept, float(card["limit"]))

    def _check(self, batch: EpisodeBatch) -> None:
        bound = self.tokenizer_fingerprint
        if bound is not None and bound != fingerprint(batch.tokenizer):
            raise ConfigurationError(
                f"the reward model was fitted for another vocabulary than {batch.tokenizer!r}; fit one for this "
                "tokenizer"
            )


def check_aggregate(aggregate: str, coefficient: float) -> None:
    """Raises an error unless members can be made one like this."""
    if aggregate not in AGGREGATES:
        raise unknown_name("aggregate of a reward model", aggregate, AGGREGATES)
    if isinstance(coefficient, bool) or not isinstance(coefficient, int | float) or not 0.0 <= coefficient < 1e6:
        raise ConfigurationError(f"coefficient={coefficient!r}: expected a number of 0 or more")


def _mean(scores: Floats) -> Floats:
    """The mean over members, added up one after another: the same bits for one text and for many."""
    total = scores[0].copy()
    for row in scores[1:]:
        total += row
    return np.asarray(total / len(scores))


def _restore(
    card: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], description: Mapping[str, Any], folder: Path
) -> Member:
    kind, tokenizer = card["kind"], card["tokenizer"]
    try:
        if kind == "ngram":
            return NGramMember.restore(
                arrays,
                description,
                vocabulary=tuple(tokenizer["vocabulary"]),
                tokenizer_fingerprint=tokenizer["fingerprint"],
                eos_ids=tuple(tokenizer["eos_ids"]),
            )
        if kind == "head":
            from textgym.preference_models.head_members import HeadMember

            return HeadMember.restore(arrays, description, folder)
        if kind in KINDS:
            from textgym.preference_models.network_members import NetworkMember

            return NetworkMember.restore(kind, arrays, description, tokenizer["vocab_size"])
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigurationError(f"the reward model {str(folder)!r} is damaged: {error}") from error
    raise unknown_name(f"kind of the reward model {str(folder)!r}", kind, [*KINDS, "head"])
