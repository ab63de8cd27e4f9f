"""The game behind ``textgym play``: lines come in and lines go out, in a terminal, over ssh or through a pipe."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TextIO

from textgym.cli.advice import SECONDS, Advisor
from textgym.cli.choices import PAGE, QUOTES, Choices, spell
from textgym.env import TextGenerationEnv
from textgym.errors import ActionError, TextGymError
from textgym.rendering import ansi
from textgym.rendering.spelling import visible

HELP = """\
Write a token by its name, by the beginning of its name or by its id; a text of several tokens writes them all.
  ?  this help             v  exact value of each token    a  what the agent thinks of each
  u  take back a token     r  start again                  n  next prompt
  m  more tokens           /TEXT  search for tokens        q  quit
Enter alone shows the text again. A name that is also a command or a number needs a quote or a space before it: "a"."""


class Game:
    """One person at one environment.

    Args:
        env: The environment, without wrappers.
        out: Where everything is written.
        agent: Whose opinion is shown on request.
        colour: Whether ``out`` understands colour codes.
        max_seconds: Most time for an exact solution.
    """

    def __init__(
        self,
        env: TextGenerationEnv,
        out: TextIO,
        *,
        agent: Any = None,
        colour: bool = False,
        max_seconds: float = SECONDS,
    ) -> None:
        self.env, self.task, self.out, self.colour = env, env.task, out, colour
        self.advisor = Advisor(env, agent=agent, max_seconds=max_seconds)
        self._ids: list[int] = []
        self._history: list[tuple[dict[str, Any], Any, float]] = []  # before each token: state, observation, earned
        self._observation: Any = None
        self._earned = 0.0
        self._page = 0
        self._commands = {
            "?": self._help,
            "v": self._show_values,
            "a": self._show_opinion,
            "u": self._undo,
            "r": self._restart,
            "n": self._next,
            "m": self._more,
            "": self._show,
        }

    def play(self, lines: TextIO, *, seed: int = 0, prompt: str | None = None) -> None:
        """Reads lines and does what they say, until ``q`` or the end of the input.

        Args:
            lines: Where the person's lines come from.
            seed: Seed of the prompts that are drawn.
            prompt: The first prompt.

        Raises:
            PromptError: for a prompt that the task has not.
        """
        options = None if prompt is None else {"prompt_index": self.task.prompts.index_of(prompt)}
        self._begin(*self.env.reset(seed=seed, options=options))
        self._say("? shows the commands.")
        clashes = [name for name in (*self._commands, "q") if name and name in self.task.tokenizer.tokens]
        if clashes:
            self._say(f'Commands that are tokens too: {" ".join(clashes)}; write the token with a quote: "{clashes[0]}')
        self._show()
        while True:
            self._say("> ", end="")
            line = lines.readline()
            if not line:
                self._say("")
            if not line or line.strip() == "q" == line[0]:
                return
            try:
                self._obey(line.rstrip("\r\n"))
            except TextGymError as error:
                self._say(visible(str(error)))

    def _say(self, text: str, end: str = "\n") -> None:
        self.out.write(text + end)
        self.out.flush()

    def _obey(self, line: str) -> None:
        quoted = line.startswith(QUOTES) and line.strip() != ""
        if not quoted and line.strip() in self._commands:
            self._commands[line.strip()]()
        elif line.startswith("/") and len(line) > 1:
            self._search(line[1:])
        else:
            self._write(line)

    # ---- writing ---------------------------------------------------------------------------------------------------

    def _begin(self, observation: Any, info: Any) -> None:
        self._observation, self._earned, self._page = observation, 0.0, 0
        self._ids, self._history = [], []

    def _write(self, line: str) -> None:
        if self._over:
            raise ActionError("the text has ended: u takes back the last token, r starts again, n is the next prompt")
        ids = self._choices.read(line)
        for place, token in enumerate(ids):
            if self._over or not self.env.action_masks()[token]:
                self._say(f"not written: {' '.join(self._spell(index) for index in ids[place:])}")
                break
            self._step(token)
        self._show()

    def _step(self, token: int) -> None:
        before = self.env.get_state(), self._observation, self._earned
        try:
            self._observation, reward, *_ = self.env.step(token)
        except TextGymError:  # a reward that fails; the token was written, and is taken back
            self.env.set_state(before[0])
            raise
        self._history.append(before)
        self._ids.append(token)
        self._earned += reward
        self._page = 0

    def _undo(self) -> None:
        if not self._history:
            raise ActionError("there is nothing to take back")
        self._go_back(len(self._history) - 1)

    def _restart(self) -> None:
        if self._history:
            self._go_back(0)
        else:
            self._show()

    def _go_back(self, place: int) -> None:
        state, self._observation, self._earned = self._history[place]
        self.env.set_state(state)
        del self._history[place:], self._ids[place:]
        self._page = 0
        self._show()

    def _next(self) -> None:
        self._begin(*self.env.reset())
        self._show()

    # ---- showing ---------------------------------------------------------------------------------------------------

    @property
    def _over(self) -> bool:
        return self.env.last_episodes is not None

    @property
    def _choices(self) -> Choices:
        return Choices(self.task.tokenizer, self.env.action_masks())

    def _spell(self, token: int) -> str:
        return spell(self.task.tokenizer.tokens[token])

    def _help(self) -> None:
        self._say(HELP)

    def _show(self) -> None:
        """The text so far, then what may come next or what it has earned."""
        prompt = self.task.prompts.texts[self.env.prompt_index]
        tokens = [self.task.tokenizer.tokens[token] for token in self._written]
        ended = self.env.last_episodes
        reason = None if ended is None else ended.stop_reasons[0]
        self._say("\n" + ansi(prompt, tokens, stop_reason=reason, reward=self._earned, colour=self.colour))
        if ended is None:
            self._list(self._choices.ids)
        else:
            self._say_all(self.advisor.judge(self._earned))

    @property
    def _written(self) -> list[int]:
        """The text so far; in a conversation the partner's replies are part of it."""
        return self.env.present_episodes.ids(0)

    def _list(self, ids: list[int]) -> None:
        """One page of tokens."""
        pages = max(1, -(-len(ids) // PAGE))
        self._page %= pages
        self._say_all(self._choices.show(ids[self._page * PAGE : (self._page + 1) * PAGE]))
        if pages > 1:
            self._say(f"  page {self._page + 1} of {pages}: m shows more of the {len(ids)} tokens, /TEXT searches")

    def _more(self) -> None:
        self._page += 1
        self._list(self._choices.ids)

    def _search(self, part: str) -> None:
        found = self._choices.search(part)
        if not found:
            raise ActionError(f"no token that may be written here contains {part!r}")
        self._say_all(self._choices.show(found[:PAGE]))
        if len(found) > PAGE:
            self._say(f"  ... and {len(found) - PAGE} more")

    def _say_all(self, lines: Iterable[str]) -> None:
        for line in lines:
            self._say(line)

    def _show_values(self) -> None:
        if self._over:
            self._say_all(self.advisor.compare(self._earned))
        else:
            self._say_all(self.advisor.values(self._choices, self._written))

    def _show_opinion(self) -> None:
        if self._over:
            raise ActionError("the text has ended, and there is nothing to choose; u takes back the last token")
        self._say_all(self.advisor.opinion(self._choices, self._written, self._observation))
