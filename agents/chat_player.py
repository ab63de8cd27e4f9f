"""How a chat model plays token by token: one request for each text or turn, whose tokens are then written one by one.

Texts that cannot be read and tokens that are illegal are counted; neither ends an episode as an illegal token would.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from textgym.agents.base import count_rollouts, make_config, read_card, tokens_of, write_card
from textgym.agents.chat_briefing import Briefing, elect
from textgym.agents.chat_lanes import Lane, see
from textgym.agents.chat_options import PlayerConfig, Question
from textgym.chat_settings import Conversation
from textgym.episodes import EpisodeBatch
from textgym.errors import ConfigurationError
from textgym.factory import EnvFactory
from textgym.keys import spawn_seed

TALLY = ("answers", "unparseable", "texts", "illegal")
_UNSEEN = ("reward", "gold", "on_reward_error", "reward_timing", "illegal_reward", "render_mode", "observation")
"""Arguments of an environment that make no difference to what is asked, and may be no JSON."""


class ChatPlayer(ABC):
    """An agent that asks a model for whole texts and writes them token by token.

    Args:
        seed: Of the answers that are drawn.
        **config: Fields of the agent's config.
    """

    config_class: ClassVar[type[PlayerConfig]]

    def __init__(self, seed: int = 0, **config: Any) -> None:
        self.seed = seed
        self.config: Any = make_config(self.config_class, config)
        self._counts = Counter(dict.fromkeys(TALLY, 0))
        self._envs: EnvFactory | None = None
        self._briefing: Briefing | None = None
        self.seed_sampling(seed)

    @abstractmethod
    def answer(self, questions: Sequence[Question]) -> list[str]:
        """The model's answers, in the order of the questions."""

    def learn(self, envs: EnvFactory, total_steps: int) -> None:
        """Learns nothing; with ``write_on`` it plays through the budget, so that there is a curve to compare with.

        It plays greedily then, so that no prompt is asked about twice.
        """
        rounds = count_rollouts(total_steps, self.config.lanes) if self.config.write_on else 0
        self._envs = None
        self.meet(envs)
        if rounds:
            self._write_on(envs.vector(self.config.lanes, autoreset_mode="SameStep", observation="tokens"), rounds)

    def _write_on(self, vector: Any, rounds: int) -> None:
        observations, _ = vector.reset(seed=spawn_seed(self.seed, "lanes") % 2**31)
        starts = np.ones(self.config.lanes, dtype=bool)
        for _ in range(rounds):
            masks = vector.unwrapped.action_masks()
            actions = self.act(observations, masks, episode_starts=starts)
            observations, _, ended, cut, _ = vector.step(actions)
            starts = ended | cut

    def meet(self, envs: EnvFactory) -> None:
        """Reads the task of these environments, in which the agent is to play from now on; nothing is asked."""
        self._envs = self._envs or EnvFactory(envs.env_id, envs.kwargs)  # of the first: that of training
        config = self.config
        self._briefing = Briefing(envs.task(), config.marker, config.instructions, config.system_role)
        self._lanes: list[Lane | None] = []
        self._resting: NDArray[np.bool_] | None = None

    @property
    def briefing(self) -> Briefing:
        """What the model is told.

        Raises:
            ConfigurationError: if the agent has met no environment.
        """
        if self._briefing is None and self._envs is not None:
            self.meet(self._envs)
        if self._briefing is None:
            raise ConfigurationError(
                f"this {type(self).__name__} has met no environment, so it knows neither task nor words; call "
                "learn(), or meet(EnvFactory(...))"
            )
        return self._briefing

    def seed_sampling(self, seed: int) -> None:
        """Starts the random numbers of :meth:`act` anew, and forgets the texts that are on their way."""
        self._sampling_seed, self._drawn = seed, 0
        self._lanes, self._resting = [], None

    def rest(self, lanes: NDArray[np.bool_]) -> None:
        """Tells the agent in which lanes ``(B,)`` nobody reads what it writes, so that nothing is asked for them."""
        self._resting = np.asarray(lanes, dtype=bool)

    def tally(self) -> dict[str, int]:
        """What the agent has counted so far.

        Returns:
            ``answers`` that were looked at, cached ones included; of these, the ``unparseable`` ones: without a
            text, with a word outside the vocabulary, or too long; ``texts`` or turns that were played; of these, the
            ``illegal`` ones, in which the rules of the environment forbade a token.
        """
        return {name: self._counts[name] for name in TALLY}

    def act(
        self,
        observations: Any,
        action_masks: NDArray[np.bool_] | None = None,
        *,
        deterministic: bool = True,
        episode_starts: NDArray[np.bool_] | None = None,
    ) -> NDArray[np.int64]:
        """The next token of each row's text; rows where a text or turn begins are asked about together.

        Raises:
            ConfigurationError: if the agent has met no environment, or another one than this.
            EndpointError: if the model cannot be asked.
        """
        tokens = tokens_of(observations)
        width, starts = self._check(tokens), np.zeros(len(tokens), dtype=bool)
        starts = starts if episode_starts is None else np.asarray(episode_starts, dtype=bool)
        if len(self._lanes) != len(tokens):
            self._lanes = [None] * len(tokens)
        resting = self._resting if self._resting is not None and len(self._resting) == len(tokens) else starts & False
        masks = np.broadcast_to(self.briefing.legal, (len(tokens), self.briefing.legal.size))
        masks = masks if action_masks is None else np.asarray(action_masks, dtype=bool)
        new = [row for row in np.flatnonzero(~resting).tolist() if self._begins(row, tokens[row, width:], starts[row])]
        self._ask(new, tokens[:, :width], masks, deterministic)
        return np.array([self._next(row, masks[row], resting[row]) for row in range(len(tokens))], dtype=np.int64)

    def _check(self, tokens: NDArray[np.int32]) -> int:
        """P, if the observations are those of the environment that the agent has met."""
        task = self.briefing.task
        expected, found = task.prompts.width + task.budget, tokens.shape[1]
        if found != expected or tokens.max(initial=0) > task.tokenizer.vocab_size:
            raise ConfigurationError(
                f"this agent has met {task.name} ({task.level}), with {expected} positions and "
                f"{task.tokenizer.vocab_size} ids; these observations have {found} and ids up to {tokens.max()}: call "
                "meet() with their environment"
            )
        return task.prompts.width

    def _begins(self, row: int, completion: NDArray[np.int32], starts: bool) -> bool:
        """Whether a text or turn begins in this row."""
        self._lanes[row], begins = see(self._lanes[row], completion, starts=starts, briefing=self.briefing)
        return begins

    def _ask(
        self, rows: Sequence[int], prompts: NDArray[np.int32], masks: NDArray[np.bool_], deterministic: bool
    ) -> None:
        """Asks for the texts of these rows, with one call for all of them."""
        votes = self.config.samples if deterministic else 1
        asked = [self._messages(row, prompts[row], masks[row]) for row in rows]
        questions = [question for messages in asked for question in self._questions(messages, deterministic)]
        answers = self.answer(questions) if questions else []
        for place, row in enumerate(rows):
            lane = self._lanes[row]
            assert lane is not None
            room = lane.room(self.briefing)
            found = [self.briefing.read(answer, room) for answer in answers[place * votes : (place + 1) * votes]]
            lane.plan = [*elect(found).ids]
            self._counts.update(answers=votes, unparseable=sum(bool(reading.fault) for reading in found), texts=1)

    def _messages(self, row: int, prompt: NDArray[np.int32], mask: NDArray[np.bool_]) -> Conversation:
        lane, briefing = self._lanes[row], self.briefing
        assert lane is not None
        begun = briefing.decode(lane.written[lane.begin :])
        return briefing.ask(briefing.prompt_of(prompt), lane.turns, written=begun, first=mask)

    def _questions(self, messages: Conversation, deterministic: bool) -> list[Question]:
        config = self.config
        if not deterministic:
            self._drawn += 1
            return [Question(messages, config.temperature, _seed(self._sampling_seed, f"text {self._drawn}"))]
        if config.samples == 1:
            return [Question(messages)]
        # The seeds go by the vote alone: equal questions are asked once, and greedy play is the same every time.
        seeds = [_seed(self.seed, f"vote {vote}") for vote in range(config.samples)]
        return [Question(messages, config.temperature, seed) for seed in seeds]

    def _next(self, row: int, mask: NDArray[np.bool_], rests: bool) -> int:
        """The next token of a row; anything legal where nobody reads it."""
        lane = self._lanes[row]
        if rests or lane is None:
            return int(mask.argmax())
        was_illegal = lane.is_illegal
        chosen = lane.write(mask, self.briefing)
        self._counts["illegal"] += lane.is_illegal and not was_illegal
        return chosen

    def save(self, path: Path) -> None:
        """Writes the card: the config, and which environment the agent has met. No key is in either."""
        envs = self._envs
        kept = {} if envs is None else {name: value for name, value in envs.kwargs.items() if name not in _UNSEEN}
        known = envs is not None and _is_json(kept)
        write_card(
            Path(path), self, env_id=envs.env_id if envs is not None and known else None, env=kept if known else {}
        )

    @classmethod
    def load(cls, path: Path) -> Self:
        """Reads what :meth:`save` wrote; nothing is asked."""
        card = read_card(path)
        agent = cls(seed=card["seed"], **card["config"])
        if card["env_id"] is not None:
            agent._envs = EnvFactory(card["env_id"], {**card["env"], "reward": _nothing})
        return agent


def _nothing(batch: EpisodeBatch) -> NDArray[np.float64]:
    return np.zeros(len(batch))


def _seed(base: int, purpose: str) -> int:
    return spawn_seed(base, purpose) % 2**31  # what endpoints take


def _is_json(values: dict[str, Any]) -> bool:
    try:
        json.dumps(values, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True
