"""Other people's text environments with token actions: one step writes one token, an end token sends the text.

``TokenizedEnv(env, tokenizer)`` takes any :class:`gymnasium.Env` whose actions and observations are ``Text``; the
adapters for TextArena, TextWorld and GEM beside this module make such environments of theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import index as as_integer
from typing import Any, cast

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from numpy.typing import NDArray

from textgym.errors import ActionError, ConfigurationError, EpisodeOverError, TaskError, unknown_name
from textgym.infos import read_autoreset_mode
from textgym.integrations.commands import CommandNode, command_tree
from textgym.integrations.text_spaces import check_text_env, writable_ids
from textgym.integrations.token_history import TokenHistory
from textgym.observations import dict_space, one_hot, tokens_space
from textgym.tokenizers import Tokenizer, check_tokenizer

LARGEST_TOKENS = 1_024
"""The largest vocabulary whose observations are "tokens" by default, as in textgym's own environments."""
OBSERVATIONS = ("tokens", "dict", "one_hot")

Commands = str | Callable[[Any], Iterable[str] | None] | None


class TokenizedEnv(gym.Env[Any, Any]):
    """A text environment in which the agent writes token by token.

    An end token sends the utterance to ``env.step``, and so does its last token where ``max_new_tokens`` are written
    or the text is as long as the environment takes: then it is sent as far as it goes. The reward is 0 until then.
    ``terminated`` and ``truncated`` are the environment's own, kept apart.

    The observation has the layout of textgym's own environments: the newest ``context_tokens`` ids of what was said,
    right-aligned, then the utterance so far, padded with V. A token that the mask forbids ends the episode
    (``terminated``) with ``illegal_reward``, and so does an utterance that is no text of the action space.

    On steps that send, info holds the environment's own info, ``utterance`` and ``utterance_end`` ("eos" or "length"),
    ``reply`` (the text that came back) and ``lost_tokens`` (what fell out of the context); on the last one also
    ``num_tokens`` and ``stop_reason``: "stop" (it terminated), "truncated", or "illegal".

    Args:
        env: Its ``action_space`` and ``observation_space`` are ``Text``.
        tokenizer: A textgym tokenizer; its ids are the actions.
        max_new_tokens: T, the most tokens of one utterance, without the end token.
        context_tokens: P, how much of what was said can be seen.
        commands: Where admissible commands are found: a key of the environment's info, or a function of ``env``. Where
            there are any, the mask lets exactly their beginnings through, and the end where one is complete; where
            there are none, everything may be written. None never looks.
        observation: "tokens" (default up to 1,024 ids), "dict" (default above) or "one_hot".
        keep_history: False shows the newest text only, for environments whose observations say all.
        unknown: Text outside the vocabulary is shown as ``<unk>`` with one warning ("warn") or none ("keep"), or is an
            "error".
        illegal_reward: What an illegal token earns.

    Raises:
        ConfigurationError: for an environment whose actions or observations are no text.

    Attributes:
        env: The environment within.
        tokenizer: The vocabulary.
        history: What was said so far; counts ``unknown_tokens``.
        eos_id: The id that sends an utterance.
    """

    def __init__(
        self,
        env: gym.Env[str, str],
        tokenizer: Tokenizer,
        *,
        max_new_tokens: int = 16,
        context_tokens: int = 128,
        commands: Commands = "admissible_commands",
        observation: str | None = None,
        keep_history: bool = True,
        unknown: str = "warn",
        illegal_reward: float = -1.0,
    ) -> None:
        self.env = check_text_env(env)
        self.tokenizer = check_tokenizer(tokenizer)
        self.history = TokenHistory(tokenizer, context_tokens, max_new_tokens, keep=keep_history, unknown=unknown)
        self.illegal_reward = float(illegal_reward)
        self.eos_id = tokenizer.eos_ids[0]
        self.metadata = dict(env.metadata)
        self.render_mode = env.render_mode
        self._text_space = cast(spaces.Text, env.action_space)
        self._commands = commands
        self._vocab_size = tokenizer.vocab_size
        self._observation = observation or ("tokens" if self._vocab_size <= LARGEST_TOKENS else "dict")
        self.action_space = spaces.Discrete(self._vocab_size)
        self.observation_space = self._make_space(context_tokens + max_new_tokens)
        self._writable = writable_ids(tokenizer, self._text_space)
        self._node: CommandNode | None = None
        self._over = True
        self._written = 0
        self._update_mask()

    def _make_space(self, width: int) -> spaces.Space[Any]:
        if self._observation == "tokens":
            return tokens_space(width, self._vocab_size)
        if self._observation == "dict":
            return dict_space(width, self._vocab_size, include_mask=True)
        if self._observation == "one_hot":
            return spaces.Box(0.0, 1.0, (width * (self._vocab_size + 1),), np.float32)
        raise unknown_name("observation", self._observation, OBSERVATIONS)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Resets the environment within; seed and options are handed on as they are."""
        super().reset(seed=seed)
        text, found = self.env.reset(seed=seed, options=options)
        self.history.clear()
        self._over, self._written = True, 0  # until it is clear that the episode can be played
        self.history.hear(_check_text(text, self.env), end=[])
        self._ask_for_commands(found, over=False)
        self._over = False
        return self._observe(), {**own_copy(found), "reply": text, **self._mask_info()}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Writes one token.

        Raises:
            ActionError: for an action outside the action space or of the wrong type.
            EpisodeOverError: before the first reset, or if the episode has ended.
        """
        if self._over:
            raise EpisodeOverError("the episode has ended, or not begun; call reset() before the next step()")
        token = self._read(action)
        self._written += 1
        if token in self.tokenizer.eos_ids and self._mask[token]:
            return self._send("eos", [token])
        self.history.write(token)
        if not self._mask[token]:
            return self._end_illegal()
        self._node = None if self._node is None else self._node.children[token]
        if self._is_full():
            return self._send("length", [])
        self._update_mask()
        return self._observe(), 0.0, False, False, self._mask_info()

    def _read(self, action: Any) -> int:
        try:
            token = as_integer(action)
        except TypeError:
            raise ActionError(f"action {action!r}: expected a whole number, not {type(action).__name__}") from None
        if not 0 <= token < self._vocab_size:
            raise ActionError(f"action {token} is outside the action space: expected 0 to {self._vocab_size - 1}")
        return token

    def _is_full(self) -> bool:
        if len(self.history.utterance) == self.history.room:
            return True
        return self._node is None and len(self._text()) >= self._text_space.max_length

    def _text(self) -> str:
        """The utterance: the command as the environment spelt it, or what was written freely."""
        if self._node is not None and self._node.command is not None:
            return self._node.command
        return self.tokenizer.decode(self.history.utterance)[: self._text_space.max_length]

    def _send(self, end: str, end_ids: list[int]) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        text = self._text()
        if self._node is None and text not in self._text_space:
            return self._end_illegal()
        reply, reward, terminated, truncated, found = self.env.step(text)
        self._over = bool(terminated or truncated)
        self.history.hear(_check_text(reply, self.env), end=end_ids)
        self._ask_for_commands(found, over=self._over)
        told = {"utterance": text, "utterance_end": end, "reply": reply, "lost_tokens": self.history.lost_tokens}
        info = {**own_copy(found), **told, **self._mask_info()}
        if self._over:
            info |= {"num_tokens": self._written, "stop_reason": "stop" if terminated else "truncated"}
        return self._observe(), float(reward), bool(terminated), bool(truncated), info

    def _end_illegal(self) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Ends the episode; the environment within hears nothing of it and is reset as usual."""
        self._over, self._node = True, None
        self._update_mask()
        info = {**self._mask_info(), "num_tokens": self._written, "stop_reason": "illegal"}
        return self._observe(), self.illegal_reward, True, False, info

    def _ask_for_commands(self, found: Mapping[str, Any], *, over: bool) -> None:
        self._node = None
        offered = None if over or self._commands is None else self._find_commands(found)
        if offered:
            self._node = command_tree(offered, self.tokenizer, self.history.room)
        self._update_mask()

    def _find_commands(self, found: Mapping[str, Any]) -> Sequence[str] | None:
        asked = found.get(self._commands) if isinstance(self._commands, str) else self._commands(self.env)  # type: ignore[misc]
        offered = None if asked is None or isinstance(asked, str) else list(asked)
        if asked is not None and (offered is None or not all(isinstance(command, str) for command in offered)):
            raise ConfigurationError(f"admissible commands {asked!r}: expected a list of texts, or None for any text")
        return offered

    def _update_mask(self) -> None:
        """``_mask``: the ids that may come next; of the end ids, all or none."""
        if self._node is None:
            self._mask: NDArray[np.bool_] = self._writable.copy()
            may_end = self._text() in self._text_space
        else:
            self._mask = np.zeros(self._vocab_size, dtype=bool)
            self._mask[list(self._node.children)] = True
            may_end = self._node.command is not None
        self._mask[list(self.tokenizer.eos_ids)] = may_end

    def _mask_info(self) -> dict[str, Any]:
        return {"action_mask": self._mask.astype(np.int8)}

    def _observe(self) -> Any:
        row = self.history.row
        if self._observation == "tokens":
            return row.copy()
        if self._observation == "one_hot":
            return one_hot(row[None], self._vocab_size)[0]
        shown = (row != self._vocab_size).astype(np.int8)
        return {"tokens": row.copy(), "attention_mask": shown, "action_mask": self._mask.astype(np.int8)}

    def action_masks(self) -> NDArray[np.bool_]:
        """``(V,)`` a fresh array, True where a token may be written next."""
        return self._mask.copy()

    def render(self) -> Any:
        """What the environment within renders."""
        return self.env.render()

    def close(self) -> None:
        """Closes the environment within."""
        self.env.close()


class TokenizedVectorEnv(SyncVectorEnv):
    """Tokenized environments side by side, with one array of masks, as textgym's agents expect it.

    Args:
        makers: Functions that make a :class:`TokenizedEnv` each.
        autoreset_mode: Gymnasium's mode, by value ("SameStep") or name.
    """

    def __init__(
        self, makers: Sequence[Callable[[], TokenizedEnv]], *, autoreset_mode: AutoresetMode | str = "NextStep"
    ) -> None:
        super().__init__(makers, autoreset_mode=read_autoreset_mode(autoreset_mode))

    def action_masks(self) -> NDArray[np.bool_]:
        """``(B, V)`` True where a lane's token may be written next."""
        return np.stack([env.unwrapped.action_masks() for env in self.envs])  # type: ignore[attr-defined]


@dataclass(frozen=True)
class TokenizedFactory:
    """What ``learn`` of textgym's agents takes: makes tokenized environments, one or many.

    Attributes:
        make: Makes one; a function at the top of a module can be sent to other processes.
    """

    make: Callable[[], TokenizedEnv]

    def single(self) -> TokenizedEnv:
        """One environment."""
        return self.make()

    def vector(self, num_envs: int, *, autoreset_mode: AutoresetMode | str = "NextStep") -> TokenizedVectorEnv:
        """Several, stepped together."""
        return TokenizedVectorEnv([self.make] * num_envs, autoreset_mode=autoreset_mode)


def own_copy(value: Any) -> Any:
    """A copy of the containers and arrays of an info, since infos must not share them from step to step."""
    if isinstance(value, Mapping):
        return {name: own_copy(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        parts = [own_copy(part) for part in value]
        return parts if isinstance(value, list) else tuple(parts)
    return value.copy() if isinstance(value, np.ndarray) else value


def _check_text(text: Any, env: Any) -> str:
    if not isinstance(text, str):
        raise TaskError(f"{env} returned the observation {text!r} of type {type(text).__name__}: expected text")
    return text
