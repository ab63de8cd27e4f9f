"""Minari: recordings as offline data sets that ``minari.load_dataset`` reads, and back.

The data are stored in Minari's Arrow format, which needs pyarrow and no h5py. Observations are token ids; masks, the
log-probabilities of the behaviour and what an environment says of a finished text stand in ``infos``.
"""

from __future__ import annotations

import json
import re
import secrets
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from numpy.typing import NDArray

import textgym
from textgym.errors import ConfigurationError, TextGymError, missing_dependency, suggestion
from textgym.factory import EnvFactory
from textgym.folders import replace_folder
from textgym.integrations._versions import require
from textgym.observations import tokens_space
from textgym.recordings import PROMPT_INDEX, Origin, RecordedEpisode, Recording

require("minari", "minari", "0.5.4", "0.6")

try:
    from minari import MinariDataset, __version__, list_local_datasets
    from minari.data_collector import EpisodeBuffer
    from minari.dataset._storages.arrow_storage import ArrowStorage
    from minari.dataset.minari_dataset import DATASET_ID_RE
    from minari.dataset.minari_storage import MinariStorage
    from minari.namespace import create_namespace, list_local_namespaces
    from minari.storage import get_dataset_path
except ImportError as error:
    raise missing_dependency(error.name or "pyarrow", "minari", "textgym.integrations.minari") from error

NAME = re.compile(r"(?:[-\w]+/)*[-\w]+-v\d+", re.ASCII)
DATA = "data"
CARD = "metadata.json"
_COMBINED = (
    "Minari 0.5.4 cannot read back infos that its combine_datasets has written; read the parts, join them with + and "
    "write the sum"
)


@dataclass(frozen=True)
class Place:
    """Where a data set is.

    Attributes:
        id: Its name for Minari, such as ``reviews/mixed-v0``.
        folder: What holds its ``data``.
        is_local: Whether it stands among Minari's own, where ``minari.load_dataset(id)`` finds it.
    """

    id: str
    folder: Path
    is_local: bool

    @classmethod
    def find(cls, name: str | Path) -> Place:
        """Reads a name (``reviews/mixed-v0``) or a folder (``./data/mixed-v0``: absolute, or with a dot in front).

        Raises:
            ConfigurationError: for what cannot be the name of a data set.
        """
        text, is_local = str(name), not is_path(name)
        folder = Path(text).expanduser().resolve()
        found = text if is_local else folder.name
        if not NAME.fullmatch(found) or not DATASET_ID_RE.fullmatch(found):
            raise ConfigurationError(
                f"{text!r} cannot be the name of a data set; expected NAME-v0 or GROUP/NAME-v0 of letters, digits, "
                "- and _ (at least two each), or a folder of such a name, as in ./data/NAME-v0"
            )
        # Absolute, since Minari 0.5.4 cannot measure a folder with a relative path.
        return cls(found, get_dataset_path(found).resolve() if is_local else folder, is_local)

    @property
    def is_there(self) -> bool:
        """Whether it holds a data set."""
        return (self.folder / DATA / CARD).is_file()


def is_path(name: str | Path) -> bool:
    """Whether a folder is meant, and not a name among Minari's own."""
    return isinstance(name, Path) or Path(name).is_absolute() or name.startswith((".", "~"))


class _Writer(ArrowStorage):  # type: ignore[misc]
    """Minari's own, which measures and describes the whole folder anew after every episode: here once, at the end."""

    def update_episode_metadata(self, metadatas: Iterable[dict[str, Any]], episode_indices: Any = None) -> None:
        for metadata, episode in zip(metadatas, episode_indices, strict=True):
            (self.data_path / str(episode) / CARD).write_text(json.dumps(metadata), encoding="utf-8")


def check_place(name: str | Path, *, overwrite: bool = False) -> Place:
    """Where a data set of this name may be written.

    Args:
        name: A name for Minari, or a folder (:meth:`Place.find`).
        overwrite: Whether one that is there may be replaced.

    Raises:
        ConfigurationError: if there is one already, or something else is in the way.
    """
    place = Place.find(name)
    if place.is_there and not overwrite:
        raise ConfigurationError(
            f"there is a data set {place.id!r} in {str(place.folder)!r} already; choose another name, or pass "
            "overwrite=True (--overwrite)"
        )
    if place.folder.exists() and not place.is_there and (place.folder.is_file() or any(place.folder.iterdir())):
        raise ConfigurationError(f"{str(place.folder)!r} is there and holds no data set; choose another name")
    return place


def write(recording: Recording, name: str | Path, *, overwrite: bool = False) -> Any:
    """Writes a recording as a Minari data set: a reader sees all of it or nothing.

    Args:
        recording: What :func:`textgym.recorder.record` returned.
        name: A name for Minari (its data sets are in ``MINARI_DATASETS_PATH``, else in ``~/.minari/datasets``), or a
            folder, absolute or with a dot in front.
        overwrite: Replace one that is there.

    Returns:
        The ``minari.MinariDataset``.

    Raises:
        ConfigurationError: if there is one already, or it cannot be written there.
    """
    place = check_place(name, overwrite=overwrite)
    scratch = place.folder.with_name(f".{place.folder.name}.{secrets.token_hex(4)}.tmp")
    try:
        (scratch / DATA).mkdir(parents=True)
        _fill(recording, scratch / DATA, place.id)
        replace_folder(scratch, place.folder)
    except OSError as error:
        raise ConfigurationError(f"{str(place.folder)!r} cannot be written: {error}") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if place.is_local and "/" in place.id:
        namespace = place.id.rpartition("/")[0]
        if namespace not in list_local_namespaces():
            create_namespace(namespace)
    return MinariDataset(place.folder / DATA)


def _fill(recording: Recording, data: Path, dataset_id: str) -> None:
    width = recording.episodes[0].observations.shape[1]
    seen, written = tokens_space(width, recording.vocab_size), spaces.Discrete(recording.vocab_size)
    storage = MinariStorage.new(
        data, observation_space=seen, action_space=written, env_spec=_spec(recording.envs), data_format="arrow"
    )
    writers = ", ".join(recording.writers)
    storage.update_metadata(
        {
            "dataset_id": dataset_id,
            "minari_version": __version__,
            "algorithm_name": writers or "unknown",
            "description": f"Token by token, {recording.origin or 'an environment'}; written by {writers or 'unknown'}",
            "requirements": [f"textgym>={textgym.__version__}"],
            "textgym": {"origin": recording.origin and asdict(recording.origin), "writers": list(recording.writers)},
        }
    )
    _Writer(data, seen, written).update_episodes(map(_buffer, recording.episodes))


def _spec(envs: EnvFactory | None) -> EnvSpec | None:
    """The spec of the environment, if its arguments can be written as JSON: names and numbers can, functions cannot."""
    spec = None if envs is None else envs.single().spec
    if spec is not None:
        with suppress(TypeError, ValueError):
            spec.to_json()
            return spec
    return None


def _buffer(episode: RecordedEpisode) -> EpisodeBuffer:
    return EpisodeBuffer(
        options={PROMPT_INDEX: int(episode.infos[PROMPT_INDEX][0])} if PROMPT_INDEX in episode.infos else None,
        observations=episode.observations,
        actions=episode.actions,
        rewards=episode.rewards,
        terminations=episode.terminations,
        truncations=episode.truncations,
        # Lists where there is one number a step: Minari 0.5.4 cannot read arrays of one dimension back.
        infos={name: values if values.ndim > 1 else _plain(values) for name, values in episode.infos.items()},
    )


def _plain(values: NDArray[Any]) -> list[Any]:
    return values.tolist() if values.dtype.kind == "U" else list(values)


def read(data: Any) -> Recording:
    """Reads a data set of tokens.

    Args:
        data: A name for Minari, a folder (absolute or with a dot in front), or a ``minari.MinariDataset``, for example
            one that was filtered.

    Raises:
        ConfigurationError: for what is no data set, a damaged one, or one of something else than tokens.
    """
    if isinstance(data, Recording):
        return data
    label = f"the data set {str(getattr(data, 'id', data))!r}"
    fix = "It is damaged; record it again"
    try:
        dataset = data if isinstance(data, MinariDataset) else _open(data)
        fix = _COMBINED if dataset.combined_datasets else fix
        vocab_size = _vocab_size(dataset, label)
        episodes = [_episode(found) for found in dataset.iterate_episodes()]
        origin, writers, envs = _origin(dataset)
    except TextGymError:
        raise
    except ImportError as error:
        raise ConfigurationError(f"{label} cannot be read: {error}") from error
    except Exception as error:  # each file format has errors of its own
        raise ConfigurationError(f"{label} cannot be read: {type(error).__name__}: {error}. {fix}") from error
    if not episodes:
        raise ConfigurationError(f"{label} has no episodes")
    return Recording(episodes, vocab_size, origin, envs, writers, label)


def _open(name: str | Path) -> MinariDataset:
    folder = Path(name).expanduser()
    if is_path(name) and not (folder / DATA / CARD).is_file():
        raise ConfigurationError(f"{str(name)!r} holds no data set: there is no {DATA}/{CARD} in it")
    place = Place.find(name)
    if not place.is_there:
        known = list_local_datasets()
        hint = suggestion(place.id, known) or " `minari list local` shows which there are."
        raise ConfigurationError(
            f"there is no data set {place.id!r} in {str(get_dataset_path())!r}, where MINARI_DATASETS_PATH says or by "
            f"default.{hint} (A folder elsewhere is named with a dot in front, as ./{place.id}.)"
        )
    return MinariDataset(place.folder / DATA)


def _vocab_size(dataset: MinariDataset, label: str) -> int:
    seen, written = dataset.observation_space, dataset.action_space
    are_ids = isinstance(written, spaces.Discrete) and isinstance(seen, spaces.MultiDiscrete) and written.start == 0
    if are_ids and seen.nvec.ndim == 1 and (seen.nvec == written.n + 1).all():
        return int(written.n)
    raise ConfigurationError(
        f"{label} holds observations {seen!s:.60} and actions {written!s:.60}; expected token ids, as "
        "`textgym record` writes them"
    )


def _episode(found: Any) -> RecordedEpisode:
    return RecordedEpisode(
        np.asarray(found.observations, dtype=np.int32),
        np.asarray(found.actions, dtype=np.int64),
        np.asarray(found.rewards, dtype=np.float64),
        np.asarray(found.terminations, dtype=bool),
        np.asarray(found.truncations, dtype=bool),
        {name: _as_text(values) for name, values in (found.infos or {}).items()},
    )


def _as_text(values: NDArray[Any]) -> NDArray[Any]:
    """Texts as such: HDF5 hands them over as bytes."""
    if values.dtype.kind not in "SO":
        return values
    return np.array([value.decode("utf-8") if isinstance(value, bytes) else str(value) for value in values.tolist()])


def _origin(dataset: MinariDataset) -> tuple[Origin | None, tuple[str, ...], EnvFactory | None]:
    """What it was recorded in and by whom, as far as the data set says."""
    kept: Mapping[str, Any] = dataset.storage.metadata.get("textgym") or {}
    envs = _factory(dataset.env_spec)
    origin = Origin(**kept["origin"]) if kept.get("origin") else None
    if origin is None and envs is not None:
        origin = Origin.of(envs)
    return origin, tuple(kept.get("writers", ())), envs


def _factory(spec: EnvSpec | None) -> EnvFactory | None:
    """The factory behind a spec of textgym."""
    if spec is None or not str(spec.entry_point).startswith("textgym."):
        return None
    registered = gym.spec(spec.id).kwargs if spec.id in gym.registry else {}
    return EnvFactory(spec.id, {name: value for name, value in spec.kwargs.items() if registered.get(name) != value})
