"""A chat model plays the default task token by token, in one table with random play and a Q-table.

    CHAT_URL=http://127.0.0.1:8000/v1 CHAT_MODEL=qwen python docs/examples/chat_agent.py

Needs: pip install 'textgym[chat]'. The key, where one is needed, is read from TEXTGYM_CHAT_KEY. Without CHAT_URL a
stand-in answers on this machine: a server that speaks the same protocol, has the best texts by heart, and forgets the
form of one answer in twenty.
"""

from __future__ import annotations

import json
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import textgym
from textgym.agents.registry import make_agent

ENVS = textgym.EnvFactory("TextGen-v0")


@contextmanager
def stand_in() -> Iterator[str]:
    """The base URL of a server that answers as a chat model would."""
    task = ENVS.task()
    prompts = {prompt.text: prompt for prompt in task.prompts.prompts}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            text = task.best_turn(prompts[body["messages"][-1]["content"]], [])
            said = "It was great!" if body.get("seed", 1) % 20 == 0 else f"I think of a review.\nText: {text}"
            answer = json.dumps({"choices": [{"message": {"role": "assistant", "content": said}}]}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()


def compare(base_url: str, model: str, cache: str | None) -> None:
    """Plays 200 texts greedily and 200 drawn ones with each agent."""
    table: Any = make_agent("q_learning", seed=0)
    table.learn(ENVS, 100_000)
    chat = make_agent("chat", base_url=base_url, model=model, cache=cache, budget=1000)
    for name, agent in {"uniform": make_agent("uniform"), "q_learning": table, "chat": chat}.items():
        greedy = textgym.evaluate(agent, ENVS, episodes=200)
        drawn = textgym.evaluate(agent, ENVS, episodes=200, deterministic=False)
        scores = f"greedy {greedy.normalized_gold:5.2f}, drawn {drawn.normalized_gold:5.2f}"
        print(f"{name:10} {scores}  {dict(drawn.tally) or ''}")
    print(f"mean return {greedy.mean_return:.2f}, for example {greedy.texts[0]['completion']!r}")


def main() -> None:
    """Asks the endpoint that the environment names, else the stand-in."""
    url = os.environ.get("CHAT_URL")
    if url:
        compare(url, os.environ.get("CHAT_MODEL", "default"), None)
        return
    with stand_in() as local, tempfile.TemporaryDirectory() as folder:
        compare(local, "stand-in", str(Path(folder) / "answers.sqlite"))


if __name__ == "__main__":
    main()
