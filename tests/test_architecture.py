"""The layers of the package, as data, checked on the syntax trees; and what no module may do."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator, Set
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = {"textgym": ROOT / "textgym", "textgym.agents": ROOT / "agents", "textgym.benchmarks": ROOT / "benchmarks"}

# A module imports only from lines above its own. "rewards.*" is every module of that folder: siblings never import
# each other; what they share moves up. "rewards" is the folder's __init__, "textgym" the package's. (The __init__ of
# tasks stands above the tasks, because it knows them by name alone.)
LAYERS = """
errors
atomic
glossary.entries
glossary.benchmarks
glossary.people
glossary.training
glossary
importing
keys
folders
global_random
quietness
huggingface
tokenizers
episodes
partners
cache
records
answer_cache
chat_settings
chat_transport
chat_endpoint
verdicts
reading
huggingface_datasets
streaming
spooling
prompts
constraints
automata
grammars
characters
comparisons
newton
bradley_terry
davidson
text_scores
annotators
biases
comparison_records
comparison_formats
comparison_files
ngrams
huggingface_models
language_models
reference_models
overlap_arrays
overlap_words
overlap
returns
overrides
demands
task
scales
scoring
preference_models.settings
preference_models.judging
preference_models.judgements
preference_models.measures
preference_models.features
preference_models.cards
preference_models.ngram_members
preference_models.networks
preference_models.training
preference_models.network_members
preference_models.head_members
preference_models.model
preference_models.fitting
preference_models.effects
preference_models.report
preference_models.report_text
preference_models
facts
puzzles
talk
customers
smithy
nesting
diagnostics
secret_answers
grading
exercises
worlds
translation
narratives
plots
reasoning_library
reasoning
rewards.*
rewards
tasks
tasks.*
configuration
actions
legality
conversations
prompt_writer
core
infos
observations
shaping
colours
rendering.overlay
rendering.spelling
rendering.faces
rendering.terminal
rendering.web
rendering.raster
rendering.episodes
rendering
env
vector_env
vector_wrapper
wrappers.*
wrappers
registration
factory
writers
playing
exact.limits
exact.tree
exact.values
exact.expansion
exact.walking
exact.policies
exact.soft
exact.solution
exact.machine
exact.merging
exact.chances
exact.unfolding
exact.histories
exact
metrics
evaluation
writing
recordings
behaviors
recorder
textgym
pictures.svg
pictures.calibration
pictures.charts
pictures.learned
pictures.views
pictures.folding
pictures.sheets
pictures.marks
pictures.trees
pictures.tables
pictures
degenerate
audit
feedback.text_sources
feedback.pairs
feedback.gathering
feedback.display
feedback.terminal
feedback.assignment
feedback.projects
feedback.schema
feedback.rows
feedback.invitations
feedback.clerk
feedback.standing
feedback.store
feedback.people
feedback.labels
feedback.merging
feedback.restoring
feedback.ratings
feedback.agreement
feedback.quality
feedback.sheet
feedback.queries
feedback.founding
feedback.query_study
feedback.security
feedback.writer
feedback.reranking
feedback.accuracy
feedback.desk
feedback.joining
feedback.live
feedback.pages
feedback.server
feedback
overoptimisation.references
overoptimisation.population
overoptimisation.curves
overoptimisation.forms
overoptimisation.proxies
overoptimisation.agents
overoptimisation.results
overoptimisation.study
overoptimisation.tables
overoptimisation.drawing
overoptimisation.page
overoptimisation
checks.comparing
checks.recording
checks.subject
checks.rules
checks.basics
checks.transitions
checks.observing
checks.prompting
checks.ending
checks.masks
checks.generators
checks.scores
checks.seeding
checks.payment
checks.copies
checks.lanes
checks.answers
checks._rollout
checks.processes
checks.registry
checks
integrations._versions
integrations.text_spaces
integrations.commands
integrations.token_history
integrations.tokenized
integrations.replay
integrations.rllib.environments
integrations.rllib.modules
integrations.rllib.replay
integrations.rllib
integrations.*
integrations
agents.base
agents.sb3_configs
agents.chat_briefing
agents.chat_options
agents.chat_lanes
agents.chat_player
agents.lm.sampling
agents.lm.slots
agents.lm.lean
agents.lm.memory
agents.lm.support
agents.lm.model
agents.lm.writer
agents.lm.rollout
agents.lm.building
agents.lm.export
integrations.model_tokens
integrations.trl_rollouts
integrations.trl
agents.lm.checkpoints
agents.lm.health
agents.lm.exactness
agents.lm.reader
agents.lm.agent
agents.lm.sft
agents.lm.training
agents.lm.learner
agents.lm.*
agents.lm
agents.offline.agent
agents.offline.*
agents.offline
agents.*
agents.registry
agents.lm.optimality
agents
benchmarks.students_t
benchmarks.stats_resampling
benchmarks.stats
benchmarks.stats_tests
benchmarks.stats_profiles
benchmarks.machine
benchmarks.limits
benchmarks.curve
benchmarks.kept_texts
benchmarks.meter
benchmarks.metering
benchmarks.records
benchmarks.run_files
benchmarks.losses
benchmarks.runs
benchmarks.suites
benchmarks.sources
benchmarks.run_keys
benchmarks.ledger_file
benchmarks.ledger
benchmarks.folder_lock
benchmarks.processes
benchmarks.workers
benchmarks.shipping
benchmarks.ray_connection
benchmarks.ray_cluster
benchmarks.executors
benchmarks.comparison
benchmarks.scale_out
benchmarks.agent_check
benchmarks.agent_trials
benchmarks.agent_configs
benchmarks.search_spaces
benchmarks.proposals
benchmarks.trials
benchmarks.search_files
benchmarks.tuning
benchmarks.costs
benchmarks.forecast
benchmarks.tracking
benchmarks.reference_lines
benchmarks.summary
benchmarks.standings
benchmarks.tally_notes
benchmarks.tuning_notes
benchmarks.comparing_two
benchmarks.throughput
benchmarks.alarms
benchmarks.tables
benchmarks.summary_text
benchmarks.report_style
benchmarks.report_plots
benchmarks.pdf
benchmarks.figure_files
benchmarks.exports
benchmarks.citations
benchmarks.report_charts
benchmarks.report_table
benchmarks.report_figures
benchmarks.report_texts
benchmarks.report_board
benchmarks.report_cost
benchmarks.report_overview
benchmarks.report_tasks
benchmarks.report
benchmarks.report_files
benchmarks.consistency
benchmarks.verification
benchmarks.compatibility_probes
benchmarks.compatibility
benchmarks.found_runs
benchmarks.leaderboard
benchmarks.*
benchmarks
rlhf.plan
rlhf.stages
rlhf.report
rlhf.loop
rlhf.people
rlhf
course
course.wire
course.problems
course.models
course.guard
course.sandbox_limits
course.sandbox_child
course.sandbox_linux
course.sandbox_watch
course.sandbox_pipes
course.sandbox_folders
course.sandbox
course.assignment
course.training
course.weeks.week_tables
course.weeks.week_training
course.weeks.week_targets
course.weeks.week_texts
course.weeks.week_preferences
course.weeks.week_optimisation
course.weeks.week_statistics
course.weeks.week_findings
course.weeks.week_replay
course.weeks.week_dqn
course.weeks.week_ppo
course.weeks.week_reinforce
course.weeks.week_baselines
course.weeks.week_judgements
course.weeks.week_holdouts
course.weeks.week_hacking
course.weeks.week_peaks
course.weeks.week_runs
course.weeks.week_intervals
course.weeks.*
course.weeks
course.report
course.grading
course.zoo.bug
course.zoo.tools
course.zoo.programs.*
course.zoo.programs
course.zoo.running
course.zoo.drawing
course.zoo.checking
course.zoo
course.lab_groups
course.lab_handout
course.lab
course.lab_page
labelled_texts.rows
labelled_texts.quality
labelled_texts.bias
labelled_texts.vocabulary
labelled_texts.settings
labelled_texts.networks
labelled_texts.fitting
labelled_texts.stages
labelled_texts
assets.*
progress
cli.options
cli.labelled
cli.choices
cli.facts
cli.opinions
cli.advice
cli.game
cli.label
cli.reporting
cli.*
cli
cli.__main__
""".split()

# Besides the layers: who may not know whom, not even inside a function.
FORBIDDEN = {
    "agents.*": ("core", "scoring"),
    "benchmarks.*": ("core", "agents.*"),
    "tasks.*": ("core", "env", "vector_env"),
    "rewards.*": ("core", "env", "vector_env"),
}
ALLOWED = {"benchmarks.*": ("agents.base", "agents.registry")}


def module_files() -> dict[str, Path]:
    """Every module of the package: its name without ``textgym.`` (the package itself is ``textgym``) -> its file."""
    files = {}
    for package, folder in FOLDERS.items():
        for path in sorted(folder.rglob("*.py")):
            parts = [*package.split("."), *path.relative_to(folder).with_suffix("").parts]
            parts = parts[:-1] if parts[-1] == "__init__" else parts
            files[".".join(parts[1:]) or "textgym"] = path
    return files


FILES = module_files()
TREES = {name: ast.parse(path.read_text(encoding="utf-8"), str(path)) for name, path in FILES.items()}


def matches(name: str, pattern: str) -> bool:
    """Whether a module belongs to a line of the table."""
    return name == pattern or (pattern.endswith(".*") and name.startswith(pattern[:-1]))


def line_of(name: str) -> int:
    """The module's line in the table: its own, or else its folder's."""
    if name in LAYERS:
        return LAYERS.index(name)
    found = [index for index, pattern in enumerate(LAYERS) if matches(name, pattern)]
    assert found, f"{name} stands in no line of LAYERS: add it where it belongs"
    return found[0]


def is_type_checking(node: ast.AST) -> bool:
    """Whether this is an ``if TYPE_CHECKING:``, whose imports never happen."""
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def walk(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes that run, functions included: a late import is an import."""
    yield node
    children = node.orelse if isinstance(node, ast.If) and is_type_checking(node) else ast.iter_child_nodes(node)
    for child in children:
        yield from walk(child)


def imports(name: str, tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Absolute names of everything that a module imports, with the line number."""
    package = ["textgym", *([] if name == "textgym" else name.split("."))]
    if FILES[name].name != "__init__.py":
        package.pop()
    for node in walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            yield from ((f"{origin}.{alias.name}", node.lineno) for alias in node.names)


def own_imports(name: str) -> Iterator[tuple[str, int]]:
    """The modules of this package that a module imports."""
    for target, line in imports(name, TREES[name]):
        parts = target.split(".")
        if parts[0] != "textgym":
            continue
        while len(parts) > 1 and ".".join(parts[1:]) not in FILES:
            parts.pop()  # a class or function: what is imported is the module that holds it
        yield ".".join(parts[1:]) or "textgym", line


@pytest.mark.parametrize("name", FILES)
def test_a_module_imports_only_from_lines_above(name: str) -> None:
    for target, line in own_imports(name):
        is_above = line_of(target) < line_of(name)
        assert is_above, f"{FILES[name]}:{line} imports {target}, which does not stand above {name}"


@pytest.mark.parametrize("name", FILES)
def test_nobody_imports_what_it_must_not_know(name: str) -> None:
    for group, banned in FORBIDDEN.items():
        allowed = ALLOWED.get(group, ())
        for target, line in own_imports(name) if matches(name, group) else ():
            bad = target not in allowed and any(matches(target, pattern) for pattern in banned)
            assert not bad, f"{FILES[name]}:{line}: {group} must not import {target}"


def test_every_line_of_the_table_names_a_module() -> None:
    unused = [pattern for pattern in LAYERS if not any(matches(name, pattern) for name in FILES)]
    assert not unused


def test_the_core_and_all_that_it_stands_on_know_no_gymnasium() -> None:
    for name in FILES:
        if line_of(name) <= LAYERS.index("core"):
            assert "gymnasium" not in {target.split(".")[0] for target, _ in imports(name, TREES[name])}, name


def test_the_q_learning_file_needs_only_numpy_and_textgym() -> None:
    roots = {target.split(".")[0] for target, _ in imports("agents.q_learning", TREES["agents.q_learning"])}
    assert roots - set(sys.stdlib_module_names) == {"numpy", "textgym"}


@pytest.mark.parametrize("folder", ["textgym", "agents", "benchmarks", "tests", "docs"])
def test_no_file_bears_the_name_of_a_standard_module(folder: str) -> None:
    clashes = [path for path in (ROOT / folder).rglob("*.py") if path.stem in sys.stdlib_module_names]
    assert not clashes


# ---- what no module of the package may do -------------------------------------------------------------------------

UNSAFE_CALLS = {"pickle.load", "pickle.loads", "torch.load", "joblib.load", "eval", "exec", "os.system", "print"}
MAY_PRINT = ("cli", "agents.q_learning", "assets.*", "benchmarks.throughput")
GUARDING = {"global_random": {"import random", "np.random.get_state", "np.random.set_state", "np.random.seed"}}
SEEDED = {"Generator", "default_rng", "SeedSequence", "BitGenerator", "PCG64", "Philox"}
TEXT_FILE_CALLS = {"open", "read_text", "write_text"}


def complaints(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Names everything forbidden in a syntax tree."""
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Call):
            yield from ((what, line) for what in call_complaints(node))
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("np.random", "numpy.random"):
            if node.attr not in SEEDED:
                yield f"np.random.{node.attr}", line
        elif isinstance(node, ast.Import) and any(alias.name == "random" for alias in node.names):
            yield "import random", line
        elif isinstance(node, ast.ImportFrom) and node.module in ("random", "numpy.random") and not node.level:
            yield from ((f"from random import {a.name}", line) for a in node.names if a.name not in SEEDED)


def call_complaints(call: ast.Call) -> Iterator[str]:
    """Names what is forbidden in one call."""
    name = ast.unparse(call.func)
    if name in UNSAFE_CALLS:
        yield name
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    for option in ("shell", "trust_remote_code", "allow_pickle"):
        if option in given and not (isinstance(given[option], ast.Constant) and given[option].value is False):
            yield f"{option}={ast.unparse(given[option])}"
    values = [arg.value for arg in [*call.args, *given.values()] if isinstance(arg, ast.Constant)]
    binary = any(isinstance(value, str) and re.fullmatch(r"[rwax]\+?b\+?", value) for value in values)
    if name.split(".")[-1] in TEXT_FILE_CALLS and "encoding" not in given and not binary:
        yield f"{name} without encoding="


@pytest.mark.parametrize("name", FILES)
def test_no_module_does_what_is_unsafe_or_unseeded(name: str) -> None:
    may_print = any(matches(name, pattern) for pattern in MAY_PRINT)
    allowed = {"print"} if may_print else GUARDING.get(name, set())
    found = [f"{FILES[name]}:{line}: {what}" for what, line in complaints(TREES[name]) if what not in allowed]
    assert not found


@pytest.mark.parametrize(
    ("code", "what"),
    [
        ("import pickle\npickle.load(file)", "pickle.load"),
        ("torch.load(path)", "torch.load"),
        ("eval(text)", "eval"),
        ("np.random.seed(0)", "np.random.seed"),
        ("import random", "import random"),
        ("from random import choice", "from random import choice"),
        ("run(command, shell=True)", "shell=True"),
        ("Model.from_pretrained(name, trust_remote_code=trust)", "trust_remote_code=trust"),
        ("np.load(path, allow_pickle=True)", "allow_pickle=True"),
        ("path.read_text()", "path.read_text without encoding="),
        ("np.random.default_rng(0); path.open('rb'); open(path, encoding='utf-8')", None),
    ],
)
def test_the_rules_catch_what_they_are_for(code: str, what: str | None) -> None:
    assert [found for found, _ in complaints(ast.parse(code))] == ([what] if what else [])


# ---- tests, and the cost of an import -----------------------------------------------------------------------------


def asserts(function: ast.AST, helpers: Set[str] = frozenset()) -> bool:
    """Whether a function asserts something, by itself or through pytest, NumPy, a check_* function or a helper."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assert):
            return True
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func).split(".")[-1]
            if name in helpers or name in ("raises", "warns", "fail") or name.startswith(("assert", "check", "expect")):
                return True
    return False


def asserting_helpers(definitions: list[Any]) -> set[str]:
    """The names of a file's own functions and classes that assert, if need be through each other."""
    found: set[str] = set()
    for _ in definitions:
        found |= {node.name for node in definitions if asserts(node, found)}
    return found


@pytest.mark.parametrize("path", sorted((ROOT / "tests").glob("test_*.py")), ids=lambda path: path.stem)
def test_every_test_asserts(path: Path) -> None:
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    tests = [node for node in functions if node.name.startswith("test_")]
    others = [node for node in nodes if isinstance(node, ast.ClassDef)] + [f for f in functions if f not in tests]
    helpers = asserting_helpers(others)
    assert tests, f"{path.name} has no tests"
    assert not [f"{path.name}:{node.lineno} {node.name}" for node in tests if not asserts(node, helpers)]


def test_tests_are_flat() -> None:
    folders = (ROOT / "tests", ROOT / "tests" / "solutions")  # the latter has what the course's students hand in
    assert not [path for path in (ROOT / "tests").rglob("*.py") if path.parent not in folders]
    assert not (ROOT / "tests" / "__init__.py").exists()


def test_importing_textgym_is_light() -> None:
    heavy = {"torch", "transformers", "stable_baselines3", "typer", "rich", "scipy", "pandas", "matplotlib", "PIL"}
    code = f"import sys, gymnasium; old = set(sys.modules); import textgym; print({heavy} & (set(sys.modules) - old))"
    result = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"
