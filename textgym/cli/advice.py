"""What tokens and texts are worth, exactly and in an agent's opinion, as lines for a person to read."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

from textgym.cli.choices import Choices, spell
from textgym.cli.facts import step_through
from textgym.cli.opinions import ask
from textgym.env import TextGenerationEnv
from textgym.errors import ConfigurationError, TextGymError
from textgym.exact import solve
from textgym.rendering.spelling import visible

SECONDS = 30.0
"""The most that an exact solution may take; what is estimated to take longer is not begun."""


class Advisor:
    """Judges the text in an environment.

    Args:
        env: The environment, which stays as it is.
        agent: Whose opinion is asked for, or None.
        max_seconds: Most time for an exact solution.
    """

    def __init__(self, env: TextGenerationEnv, *, agent: Any = None, max_seconds: float = SECONDS) -> None:
        self.env, self.agent, self.max_seconds = env, agent, max_seconds
        self._answers: dict[int, Any] = {}  # prompt -> its solution, or the error that says why there is none

    @property
    def _solution(self) -> Any:
        """The exact solution for this prompt if it was found already, else None."""
        found = self._answers.get(self.env.prompt_index)
        return None if isinstance(found, TextGymError) else found

    def _solve(self) -> Iterator[str]:
        """Solves for this prompt, unless that was tried before, and says so; says why where it cannot be."""
        prompt = self.env.prompt_index
        if prompt not in self._answers:
            yield "solving exactly ..."
            text = self.env.task.prompts.texts[prompt]  # not the row, behind which a hidden secret may stand
            try:
                self._answers[prompt] = solve(self.env, prompt=text, max_seconds=self.max_seconds)
            except TextGymError as error:
                self._answers[prompt] = error
        if self._solution is None:
            yield f"no exact values: {visible(str(self._answers[prompt]))}"

    def values(self, choices: Choices, ids: Sequence[int]) -> Iterator[str]:
        """The exact value of each token that may come after these."""
        yield from self._solve()
        if self._solution is not None:
            prompt = self.env.prompt_index
            yield f"the best player earns {self._solution.value(ids, prompt):+.3f} from here"
            yield from choices.table({"Q*": self._solution.q(ids, prompt)})

    def compare(self, earned: float) -> Iterator[str]:
        """What the finished text earned, beside the exact optimum."""
        yield from self._solve()
        if self._solution is not None:
            prompt = self.env.prompt_index
            if self.env.task.partner is not None:
                mean = self._solution.value((), prompt)
                yield f"a player who sees no more than the replies earns {mean:.3f} on average, you {earned:.3f}"
                return
            text, *others = self._solution.optimal_texts[self.env.task.prompts.texts[prompt]]
            ties = f" and {len(others)} others" if others else ""
            yield f"regret {self._solution.value((), prompt) - earned:.3f}; best text: {self._tell(text)}{ties}"

    def judge(self, earned: float) -> Iterator[str]:
        """What the finished text is worth, as far as that is known without further work."""
        task, prompt = self.env.task, self.env.prompt_index
        gold = None if self.env.last_episodes is None else self.env.last_episodes.gold()
        if gold is not None:
            yield f"gold {gold[0]:+.3f}"
            if task.make_oracle is not None and task.partner is None:
                yield f"best text in gold: {self._tell(task.best_text(task.prompts.prompts[prompt]))}"
        if self._solution is not None:
            yield from self.compare(earned)
        elif prompt not in self._answers:
            yield "v compares it with the exact optimum; u, r, n or q go on"

    def _tell(self, text: str) -> str:
        """A text with what it earns, tried in a copy of the environment."""
        written = step_through(copy.deepcopy(self.env), self.env.prompt_index, text)
        gold = "" if written["gold"] is None else f", gold {written['gold']:+.3f}"
        return f"'{visible(text)}' (reward {written['reward']:+.3f}{gold})"

    def opinion(self, choices: Choices, ids: Sequence[int], observation: Any) -> Iterator[str]:
        """What the agent would write after these tokens and what it thinks of each, beside what is known exactly."""
        if self.agent is None:
            raise ConfigurationError("there is no agent; start with --agent FOLDER")
        found = ask(self.agent, observation, choices.legal, first=not ids)
        illegal = "" if choices.legal[found.choice] else ", which is illegal here and would end the text"
        yield f"the agent would write {spell(choices.tokenizer.tokens[found.choice])}{illegal}"
        if found.expected is not None:
            yield f"its critic expects {found.expected:+.3f} from here"
        if found.values is None or found.name is None:
            return
        outside = float(found.values[~choices.legal].sum()) if found.name == "probability" else 0.0
        if outside > 0.0:
            yield f"illegal tokens have probability {outside:.3f}"
        exact = {} if self._solution is None else {"Q*": self._solution.q(ids, self.env.prompt_index)}
        yield from choices.table({found.name: found.values, **exact})
