"""What a paper that uses a comparison should cite, as BibTeX: textgym, the agents, the statistics."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import textgym
from textgym.agents.registry import AGENTS


@dataclass(frozen=True, kw_only=True)
class Work:
    """A publication.

    Attributes:
        key: The name by which it is cited.
        kind: "article", "inproceedings", "phdthesis" or "misc".
        fields: The other fields of its entry.
    """

    key: str
    kind: str
    fields: Mapping[str, str]

    def bibtex(self) -> str:
        """The entry."""
        lines = [f"  {name} = {{{value}}}," for name, value in self.fields.items()]
        return "\n".join([f"@{self.kind}{{{self.key},", *lines, "}"])


def _work(key: str, kind: str, author: str, title: str, year: int, **more: str) -> Work:
    return Work(key=key, kind=kind, fields={"author": author, "title": title, "year": str(year), **more})


def _preprint(key: str, author: str, title: str, number: str) -> Work:
    year = 2000 + int(number[:2])
    return _work(key, "misc", author, title, year, eprint=number, archiveprefix="arXiv")


_SB3 = _work(
    "raffin2021stable",
    "article",
    "Raffin, Antonin and Hill, Ashley and Gleave, Adam and Kanervisto, Anssi and Ernestus, Maximilian and others",
    "{Stable-Baselines3}: Reliable Reinforcement Learning Implementations",
    2021,
    journal="Journal of Machine Learning Research",
    volume="22",
    number="268",
    pages="1--8",
)
_PPO = _preprint(
    "schulman2017proximal",
    "Schulman, John and Wolski, Filip and Dhariwal, Prafulla and Radford, Alec and Klimov, Oleg",
    "Proximal Policy Optimization Algorithms",
    "1707.06347",
)
_REINFORCE = _work(
    "williams1992simple",
    "article",
    "Williams, Ronald J.",
    "Simple Statistical Gradient-Following Algorithms for Connectionist Reinforcement Learning",
    1992,
    journal="Machine Learning",
    volume="8",
    pages="229--256",
)
STATISTICS = _work(
    "agarwal2021deep",
    "inproceedings",
    "Agarwal, Rishabh and Schwarzer, Max and Castro, Pablo Samuel and Courville, Aaron and Bellemare, Marc G.",
    "Deep Reinforcement Learning at the Edge of the Statistical Precipice",
    2021,
    booktitle="Advances in Neural Information Processing Systems",
)
GYMNASIUM = _preprint(
    "towers2024gymnasium",
    "Towers, Mark and Kwiatkowski, Ariel and Terry, Jordan and others",
    "Gymnasium: A Standard Interface for Reinforcement Learning Environments",
    "2407.17032",
)

WORKS: Mapping[str, tuple[Work, ...]] = {
    "uniform": (),
    "q_learning": (
        _work("watkins1989learning", "phdthesis", "Watkins, Christopher J. C. H.", "Learning from Delayed Rewards",
              1989, school="King's College, Cambridge"),
    ),
    "dqn": (
        _work("mnih2015human", "article", "Mnih, Volodymyr and Kavukcuoglu, Koray and Silver, David and others",
              "Human-Level Control through Deep Reinforcement Learning", 2015, journal="Nature", volume="518",
              pages="529--533"),
        _SB3,
    ),
    "ppo": (_PPO, _SB3),
    "a2c": (
        _work("mnih2016asynchronous", "inproceedings",
              "Mnih, Volodymyr and Badia, Adria Puigdomenech and Mirza, Mehdi and others",
              "Asynchronous Methods for Deep Reinforcement Learning", 2016,
              booktitle="International Conference on Machine Learning"),
        _SB3,
    ),
    "maskable_ppo": (
        _preprint("huang2020closer", "Huang, Shengyi and Onta{\\~n}{\\'o}n, Santiago",
                  "A Closer Look at Invalid Action Masking in Policy Gradient Algorithms", "2006.14171"),
        _PPO,
        _SB3,
    ),
    "frozen_lm": (),
    "sft": (),
    "reinforce": (_REINFORCE,),
    "rloo": (
        _preprint("ahmadian2024back", "Ahmadian, Arash and Cremer, Chris and Gall{\\'e}, Matthias and others",
                  "Back to Basics: Revisiting {REINFORCE} Style Optimization for Learning from Human Feedback in "
                  "{LLMs}",
                  "2402.14740"),
        _REINFORCE,
    ),
    "lm_ppo": (
        _preprint("ziegler2019fine", "Ziegler, Daniel M. and Stiennon, Nisan and Wu, Jeffrey and others",
                  "Fine-Tuning Language Models from Human Preferences", "1909.08593"),
        _PPO,
    ),
    "grpo": (
        _preprint("shao2024deepseekmath", "Shao, Zhihong and Wang, Peiyi and Zhu, Qihao and others",
                  "{DeepSeekMath}: Pushing the Limits of Mathematical Reasoning in Open Language Models", "2402.03300"),
    ),
    "dpo": (
        _preprint("rafailov2023direct", "Rafailov, Rafael and Sharma, Archit and Mitchell, Eric and others",
                  "Direct Preference Optimization: Your Language Model Is Secretly a Reward Model", "2305.18290"),
    ),
    "best_of_n": (
        _preprint("stiennon2020learning", "Stiennon, Nisan and Ouyang, Long and Wu, Jeff and others",
                  "Learning to Summarize from Human Feedback", "2009.01325"),
    ),
    "beam": (),
    "bc": (
        _work("pomerleau1988alvinn", "inproceedings", "Pomerleau, Dean A.",
              "{ALVINN}: An Autonomous Land Vehicle in a Neural Network", 1988,
              booktitle="Advances in Neural Information Processing Systems"),
    ),
    "cql": (
        _preprint("kumar2020conservative", "Kumar, Aviral and Zhou, Aurick and Tucker, George and Levine, Sergey",
                  "Conservative {Q}-Learning for Offline Reinforcement Learning", "2006.04779"),
    ),
    "chat": (),
    "pipeline": (),
}  # fmt: skip
"""Agent -> what it is after; none for what needs no citation."""


def own_entry() -> str:
    """The entry of textgym itself."""
    return Work(
        key="textgym",
        kind="misc",
        fields={
            "author": "{The textgym contributors}",
            "title": "textgym: {Gymnasium} Environments for Text Generation",
            "note": f"Version {textgym.__version__}",
        },
    ).bibtex()


def bibliography(agents: Iterable[str]) -> Iterator[str]:
    """BibTeX entries for a comparison of these agents, each work once.

    Args:
        agents: Names of the registry; those of one's own are passed over.

    Example:
        >>> [entry.partition("{")[2].partition(",")[0] for entry in bibliography(["q_learning"])]
        ['textgym', 'towers2024gymnasium', 'agarwal2021deep', 'watkins1989learning']
    """
    yield own_entry()
    works = [GYMNASIUM, STATISTICS]
    works += [work for agent in dict.fromkeys(agents) if agent in AGENTS for work in WORKS.get(agent, ())]
    yield from dict.fromkeys(work.bibtex() for work in works)
