"""A conversation, played by a few rules: ask for what is not known, then book."""

from __future__ import annotations

import textgym
from textgym.customers import PARTS
from textgym.episodes import Prompt
from textgym.playing import speak

LEVEL, ASKED = "easy", ("cuisine", "area")


def next_turn(prompt: Prompt, turns: list[tuple[str, str]]) -> str:
    """What the agent says next, seeing what the customer has said so far and nothing else."""
    heard = f"{prompt.text} {' '.join(text for side, text in turns if side != 'agent')}".split()
    known = {part: value for part in ASKED for value in PARTS[part] if value in heard}
    for part in ASKED:
        if part not in known:
            return f"which {part}"
    return f"book {' '.join(known[part] for part in ASKED)}"


def main() -> None:
    """Serves every customer of the test split and prints the first conversation."""
    envs = textgym.EnvFactory("TextGen/Dialogue-v0", {"level": LEVEL, "split": "test"})
    task = envs.task()
    batch, returns = speak(next_turn, envs, prompt_indices=task.prompts.rows("test"))
    print(f"customer: {batch.prompts.texts[batch.prompt_indices[0]]}")
    for side, text in batch.dialogue(0):
        print(f"{'agent' if side == 'agent' else 'customer'}: {text}")
    best, blind = task.returns("test").best, task.returns("test").blind
    print(f"mean return {returns.mean():.2f}; the best is {best:.2f}, without listening at most {blind:.2f}")


if __name__ == "__main__":
    main()
