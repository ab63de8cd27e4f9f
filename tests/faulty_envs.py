"""A zoo of faulty rewards, rules, tasks and environments, each with one fault and the rule that must catch it.

Many of these faults were found in published environments. They serve the tests of the checker and the table in
docs/checks.md.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from faulty_tasks import HONEST, Planted, rewards, tasks
from gymnasium import spaces

from textgym.env import TextGenerationEnv
from textgym.episodes import EOS, GOING, ILLEGAL
from textgym.task import Task
from textgym.vector_env import TextGenerationVectorEnv

FAULTY_ENVS: list[type[Any]] = []

# ---- single environments ------------------------------------------------------------------------------------------


def planted(rule: str) -> Any:
    """Registers a class of environments under an id of its own; the docstring says what is wrong."""

    def register(kind: type[Any]) -> type[Any]:
        FAULTY_ENVS.append(kind)
        kind.rule, kind.env_id = rule, f"Faulty/{kind.__name__}-v0"
        single, vector = "textgym.env:TextGenerationEnv", "textgym.vector_env:TextGenerationVectorEnv"
        own = f"{__name__}:{kind.__name__}"
        if issubclass(kind, TextGenerationEnv):
            single = own
        else:
            vector = own
        if kind.env_id not in gym.registry:
            gym.register(kind.env_id, entry_point=single, vector_entry_point=vector, kwargs={"task": HONEST})
        return kind

    return register


@dataclass
class Returned:
    """What a step returns."""

    obs: Any
    reward: float
    terminated: Any
    truncated: Any
    info: dict[str, Any]


class Spoilt(TextGenerationEnv):
    """An environment that spoils what a step returns."""

    def step(self, action: Any) -> Any:
        last = Returned(*super().step(action))
        self.spoil(last, last.info.get("stop_reason"))
        return last.obs, last.reward, last.terminated, last.truncated, last.info

    def spoil(self, last: Returned, stop_reason: str | None) -> None:
        raise NotImplementedError


@planted("fresh_arrays")
class SharedBuffer(TextGenerationEnv):
    """every observation is the same array, written over by the next step"""

    def _observe(self) -> Any:
        return self._row


@planted("fresh_arrays")
class SharedMask(TextGenerationEnv):
    """every info holds the environment's own mask"""

    def _info(self) -> dict[str, Any]:
        return {"action_mask": self._mask}


@planted("fresh_arrays")
class SharedMaskMethod(TextGenerationEnv):
    """action_masks() hands out the environment's own mask"""

    def action_masks(self) -> Any:
        return self._mask.view(bool)


@planted("same_seed")
class SeedIgnored(TextGenerationEnv):
    """the seed is dropped on the way"""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        return super().reset(options=options)


@planted("same_seed")
class SeedZero(TextGenerationEnv):
    """the seed 0 counts as no seed"""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        fresh = int(np.random.SeedSequence().generate_state(1)[0])
        return super().reset(seed=fresh if seed == 0 else seed, options=options)


@planted("chains")
class EntropyAfterTheFirst(TextGenerationEnv):
    """only the episode of the seeded reset can be repeated"""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        fresh = int(np.random.SeedSequence().generate_state(1)[0])
        return super().reset(seed=fresh if seed is None else seed, options=options)


@planted("seeds_differ")
class OneSeed(TextGenerationEnv):
    """all seeds are the same"""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        return super().reset(seed=None if seed is None else 0, options=options)


@planted("seeds_differ")
class SeedPlusIndex(TextGenerationEnv):
    """neighbouring seeds share all prompts but one: seed + number of the episode"""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        if seed is not None:
            gym.Env.reset(self, seed=seed)
            self._core.lane_keys[0] = self._lane = seed
            self._episode = 0
        rows = self._core.split_rows
        drawn = {"prompt_index": int(rows[(self._lane + self._episode) % len(rows)])}
        return super().reset(options=drawn if options is None else options)


@planted("global_generators")
class SeedsTheProcess(TextGenerationEnv):
    """reset(seed) seeds NumPy's global generator"""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        if seed is not None:
            np.random.seed(seed)  # noqa: NPY002 - the fault
        return super().reset(seed=seed, options=options)


@planted("after_end")
class StepsAfterTheEnd(TextGenerationEnv):
    """steps after the end are accepted"""

    def step(self, action: Any) -> Any:
        return (self._observe(), 0.0, True, False, {}) if self._core.over[0] else super().step(action)


@planted("only_known_ids")
class NegativeIds(TextGenerationEnv):
    """the id -1 counts from the end, as an index of Python does"""

    def step(self, action: Any) -> Any:
        return super().step(int(action) % self._core.vocab_size if action < 0 else action)


@planted("ends_at_once")
class GoesOnAfterTheEndId(TextGenerationEnv):
    """the end id does not end the text"""

    def _bind(self) -> None:
        super()._bind()
        self._codes = [GOING if code == EOS else code for code in self._codes]


@planted("observations")
class ObservesTooEarly(TextGenerationEnv):
    """the observation lags one step behind"""

    def step(self, action: Any) -> Any:
        before = self._observe()
        return before, *super().step(action)[1:]


@planted("observations")
class LastObservationBlank(Spoilt):
    """the last observation is that of an empty text"""

    def spoil(self, last: Returned, stop_reason: str | None) -> None:
        if last.terminated:
            last.obs[self._core.prompt_width :] = self._core.vocab_size


@planted("budget")
class BudgetTooSmall(TextGenerationEnv):
    """the budget is off by one: too small"""

    def __init__(self, task: Task, **kwargs: Any) -> None:
        super().__init__(task.override(max_new_tokens=task.budget - 1), **kwargs)
        self.task = task


@planted("budget")
class BudgetTooLarge(TextGenerationEnv):
    """the budget is off by one: too large"""

    def __init__(self, task: Task, **kwargs: Any) -> None:
        super().__init__(task.override(max_new_tokens=task.budget + 1), **kwargs)
        self.task = task


@planted("masks_leave_a_choice")
class EmptyMask(TextGenerationEnv):
    """after two tokens the mask forbids everything"""

    def action_masks(self) -> Any:
        return super().action_masks() & (self._column < self._core.prompt_width + 2)

    def _info(self) -> dict[str, Any]:
        return {"action_mask": self.action_masks().view(np.int8)}


@planted("masks_agree")
class TwoMasks(TextGenerationEnv):
    """the mask in info allows what action_masks() forbids"""

    def _info(self) -> dict[str, Any]:
        return {"action_mask": np.ones_like(self._mask)}


@planted("masks_decide")
class IllegalAccepted(TextGenerationEnv):
    """illegal ids are written like any other"""

    def _bind(self) -> None:
        super()._bind()
        self._codes = [GOING if code == ILLEGAL else code for code in self._codes]


@planted("stop_reason")
class TwoReasons(Spoilt):
    """a text has two stop reasons"""

    def spoil(self, last: Returned, stop_reason: str | None) -> None:
        if stop_reason == "eos":
            last.info["stop_reason"] = "eos, length"


@planted("stop_reason")
class NoReason(Spoilt):
    """a text has no stop reason"""

    def spoil(self, last: Returned, stop_reason: str | None) -> None:
        if stop_reason == "length":
            last.info["stop_reason"] = None


@planted("stop_reason")
class LengthWins(Spoilt):
    """an end id as the last token of the budget counts as length"""

    def spoil(self, last: Returned, stop_reason: str | None) -> None:
        if stop_reason == "eos" and last.info["num_tokens"] == self.task.budget:
            last.info["stop_reason"] = "length"


@planted("endings")
class BothFlags(Spoilt):
    """terminated and truncated are both True"""

    def spoil(self, last: Returned, stop_reason: str | None) -> None:
        last.truncated = stop_reason == "length"


@planted("endings")
class TruncatedAtTheBudget(Spoilt):
    """the budget truncates instead of terminating"""

    def spoil(self, last: Returned, stop_reason: str | None) -> None:
        if stop_reason == "length":
            last.terminated, last.truncated = False, True


@planted("endings")
class NumpyFlags(Spoilt):
    """truncated is a NumPy bool"""

    def spoil(self, last: Returned, stop_reason: str | None) -> None:
        last.truncated = np.False_


@planted("reward_finite")
class NanPaid(Spoilt):
    """a step pays NaN"""

    def spoil(self, last: Returned, stop_reason: str | None) -> None:
        if last.terminated:
            last.reward = float("nan")


@planted("reward_paid")
class PaidTwice(Spoilt):
    """the end id pays the reward twice"""

    def spoil(self, last: Returned, stop_reason: str | None) -> None:
        if stop_reason == "eos":
            last.reward *= 2


@planted("scores_told")
class OtherGold(Spoilt):
    """the gold in the last info is not that of the text"""

    def __init__(self, task: Task, **kwargs: Any) -> None:
        super().__init__(task, **{**kwargs, "gold": True})

    def spoil(self, last: Returned, stop_reason: str | None) -> None:
        if last.terminated:
            last.info["gold"] += 1.0


@planted("scores_told")
class NeverValid(Spoilt):
    """reward_valid says that a reward failed which did not"""

    def spoil(self, last: Returned, stop_reason: str | None) -> None:
        if last.terminated:
            last.info["reward_valid"] = False


@planted("reward_by_step")
class StepsDoNotAddUp(Spoilt):
    """paid by step, a text earns something else than paid at its end"""

    def spoil(self, last: Returned, stop_reason: str | None) -> None:
        if self.config.reward_timing == "step" and not last.terminated:
            last.reward += 0.5


@planted("ending_info")
class KeyMissing(Spoilt):
    """the last info lacks a key"""

    def spoil(self, last: Returned, stop_reason: str | None) -> None:
        last.info.pop("reward_valid", None)


@planted("ending_info")
class NanInParts(Spoilt):
    """a part of the reward in the last info is NaN"""

    def spoil(self, last: Returned, stop_reason: str | None) -> None:
        if last.terminated:
            last.info["reward_parts"] = {"length": float("nan")}


@planted("what_was_written")
class EndIdInTheText(Spoilt):
    """the completion shows the end token"""

    def spoil(self, last: Returned, stop_reason: str | None) -> None:
        if stop_reason == "eos":
            last.info["completion"] += " <eos>"


@planted("what_was_written")
class EndIdNotCounted(Spoilt):
    """num_tokens leaves out the end id"""

    def spoil(self, last: Returned, stop_reason: str | None) -> None:
        if stop_reason == "eos":
            last.info["num_tokens"] -= 1


@planted("spaces")
class OtherDtype(TextGenerationEnv):
    """observations have another dtype than their space"""

    def _observe(self) -> Any:
        return self._row.astype(np.int64)


@planted("spaces")
class PadOutside(TextGenerationEnv):
    """the space is too small by one: the pad id lies outside"""

    def __init__(self, task: Task, **kwargs: Any) -> None:
        super().__init__(task, **kwargs)
        size = np.full(self._core.width, self._core.vocab_size)
        self.observation_space = spaces.MultiDiscrete(size, dtype=np.int32)  # type: ignore[arg-type]


@planted("spaces")
class SpaceOfTheSplit(TextGenerationEnv):
    """the observation space depends on the split"""

    def __init__(self, task: Task, **kwargs: Any) -> None:
        width = task.prompts.width + (kwargs.get("split") == "all")
        super().__init__(task, max_prompt_tokens=width, **kwargs)


@planted("prompts")
class Uneven(TextGenerationEnv):
    """one prompt is drawn more often than the others"""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        returned = super().reset(seed=seed, options=options)
        if options is None and int(self._core.keys[0]) % 4:
            self._episode -= 1
            return super().reset(options={"prompt_index": 0})
        return returned


@planted("prompts")
class TestPromptsLeak(TextGenerationEnv):
    """prompts of the test split are drawn in training"""

    __test__ = False

    def __init__(self, task: Task, **kwargs: Any) -> None:
        super().__init__(task, **{**kwargs, "split": "all"})


@planted("prompts")
class OptionsEaten(TextGenerationEnv):
    """reset takes things out of the user's options"""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        index = None if options is None else options.pop("prompt_index", None)
        return super().reset(seed=seed, options=None if index is None else {"prompt_index": index})


@planted("independent")
class SharedState(TextGenerationEnv):
    """all environments of the class share one state"""

    cores: ClassVar[dict[str, Any]] = {}

    def __init__(self, task: Task, **kwargs: Any) -> None:
        super().__init__(task, **kwargs)
        self._core = self.cores.setdefault(self.config.reward_timing, self._core)
        self._bind()


@planted("pickles")
class HoldsALambda(TextGenerationEnv):
    """the environment cannot be pickled"""

    def __init__(self, task: Task, **kwargs: Any) -> None:
        super().__init__(task, **kwargs)
        self.on_end = lambda: None


@planted("deep_copies")
class ShallowCopy(TextGenerationEnv):
    """a deep copy shares its state with the original"""

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return copy.copy(self)


@planted("states")
class StateForgets(TextGenerationEnv):
    """get_state forgets how many episodes there were"""

    def get_state(self) -> dict[str, Any]:
        state = super().get_state()
        state["core"]["episodes"][:] = 0
        return state


# ---- vector environments ------------------------------------------------------------------------------------------


@planted("vector_equals_single")
class RewardsShifted(TextGenerationVectorEnv):
    """the vector environment pays each lane its neighbour's reward"""

    def step(self, actions: Any) -> Any:
        obs, rewards, *others = super().step(actions)
        return obs, np.roll(rewards, 1), *others


@planted("vector_equals_single")
class VectorMasksAllowAll(TextGenerationVectorEnv):
    """action_masks() of the vector environment allows everything"""

    def action_masks(self) -> Any:
        return np.ones_like(super().action_masks())


@planted("prompts")
class VectorDrawsAnyway(TextGenerationVectorEnv):
    """the vector environment takes no prompt_index"""

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> Any:
        kept = {name: value for name, value in (options or {}).items() if name != "prompt_index"}
        return super().reset(seed=seed, options=kept)


@planted("fresh_arrays")
class FinalObservationsShared(TextGenerationVectorEnv):
    """final_obs holds rows of a buffer that is used again"""

    def step(self, actions: Any) -> Any:
        obs, rewards, terminations, truncations, infos = super().step(actions)
        self._kept = getattr(self, "_kept", np.zeros_like(obs))
        for lane in np.flatnonzero(infos.get("_final_obs", [])):
            self._kept[lane] = infos["final_obs"][lane]
            infos["final_obs"][lane] = self._kept[lane]
        return obs, rewards, terminations, truncations, infos


@planted("vector_equals_single")
class FinalObservationLost(TextGenerationVectorEnv):
    """the vector environment puts the new episode's observation into final_obs"""

    def step(self, actions: Any) -> Any:
        obs, rewards, terminations, truncations, infos = super().step(actions)
        for lane in np.flatnonzero(infos.get("_final_obs", [])):
            infos["final_obs"][lane] = obs[lane].copy()
        return obs, rewards, terminations, truncations, infos


@planted("vector_equals_single")
class SameSeedInEveryLane(TextGenerationVectorEnv):
    """all lanes of the vector environment get the same seed"""

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> Any:
        return super().reset(seed=[seed] * self.num_envs if isinstance(seed, int) else seed, options=options)


@planted("fresh_arrays")
class VectorSharesItsBuffer(TextGenerationVectorEnv):
    """the vector environment hands out its own buffer"""

    def step(self, actions: Any) -> Any:
        return self._core.tokens, *super().step(actions)[1:]


@planted("last_texts")
class LastReturnsOfNobody(TextGenerationVectorEnv):
    """last_returns of the vector environment leaves out what the texts were paid"""

    def step(self, actions: Any) -> Any:
        returned = super().step(actions)
        self.last_returns = np.zeros_like(self.last_returns)
        return returned


@planted("last_texts")
class LastEpisodesStay(TextGenerationVectorEnv):
    """last_episodes of the vector environment is still there in the steps after the end"""

    def _forget(self) -> None:
        pass


@planted("last_texts")
class LastEpisodesOfOthers(TextGenerationVectorEnv):
    """last_episodes of the vector environment holds the ended texts in another order"""

    def step(self, actions: Any) -> Any:
        returned = super().step(actions)
        if self.last_episodes is not None:
            self.last_episodes = self.last_episodes.take(np.arange(len(self.last_episodes))[::-1])
        return returned


# ---- all of them --------------------------------------------------------------------------------------------------


def zoo() -> dict[str, Planted]:
    """Every fault by its description."""
    envs = [Planted(str(kind.__doc__), kind.rule, kind.env_id) for kind in FAULTY_ENVS]
    return {one.fault: one for one in [*rewards(), *tasks(), *envs]}


ZOO = zoo()
