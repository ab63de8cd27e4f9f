"""Texts as pixels: what is drawn, frames of one size, videos, fonts, and that no display is needed."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.wrappers import AddRenderObservation, RecordVideo, RenderCollection
from gymnasium.wrappers.vector import RecordVideo as RecordVectorVideo
from hypothesis import given, settings
from hypothesis import strategies as st
from make_pictures import FOLDER, PICTURES, WORDS
from numpy.typing import NDArray
from toys import EOS, PLAIN, A, B, toy

from textgym.benchmarks import rendering as benchmark
from textgym.colours import diverging
from textgym.env import TextGenerationEnv
from textgym.errors import ConfigurationError
from textgym.rendering import Overlay, frame_size, rgb_array
from textgym.rendering.faces import find_fonts, line_height, stamp, system_fonts
from textgym.tokenizers import CharTokenizer
from textgym.wrappers import OneHotTokens

images = pytest.importorskip("PIL.Image")
Frame = NDArray[np.uint8]
RED = (190, 30, 30)


def holds(picture: Frame, colour: tuple[int, int, int]) -> bool:
    """Whether any pixel has exactly this colour."""
    return bool((picture == colour).all(axis=2).any())


def written(picture: Frame) -> Frame:
    """The picture without the white rows at its end."""
    rows = np.flatnonzero((picture != 255).any(axis=(1, 2)))
    return picture[: rows[-1] + 1]


# ---- pictures -----------------------------------------------------------------------------------------------------


def differs(one: Frame, other: Frame) -> bool:
    """Whether more changed than another version of FreeType explains: it changes shades, not black to white."""
    changed = np.abs(one.astype(int) - other.astype(int)).max(axis=2) > 96
    return float(changed.mean()) > 0.002


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_look_as_they_did(name: str) -> None:
    """After a wanted change: ``python tests/make_pictures.py``, and look at the pictures."""
    golden = np.array(images.open(FOLDER / f"{name}.png").convert("RGB"))
    assert not differs(PICTURES[name](), golden)


def test_another_picture_would_be_noticed() -> None:
    golden = np.array(images.open(FOLDER / "plain.png").convert("RGB"))
    for words in ([*WORDS[:-2], "dull", "<eos>"], WORDS[:-1]):
        other = rgb_array("praise the movie", words, stop_reason="eos", reward=1.25, size=(448, 160), fonts=())
        assert differs(other, golden)


def test_tokens_have_the_colours_of_their_numbers() -> None:
    picture = rgb_array("p", ["x"] * 3, overlay=Overlay("q", [1.5, None, -3.0]))
    assert holds(picture, diverging(0.5))
    assert holds(picture, diverging(-1.0))
    assert not holds(rgb_array("p", ["x"] * 3), diverging(0.5))
    bare = rgb_array("p", ["x"] * 3, overlay=Overlay("q", [None] * 3))
    assert not holds(bare[: len(bare) // 2], diverging(-1.0))  # below stands the scale


def test_the_illegal_token_is_marked() -> None:
    assert holds(rgb_array("p", ["a"], stop_reason="illegal"), RED)
    assert holds(rgb_array("p", ["a"], stop_reason="illegal", overlay=Overlay("q", [1.0])), RED)
    assert not holds(rgb_array("p", ["a"], stop_reason="eos"), RED)
    red = (rgb_array("p", ["abc"], stop_reason="illegal") == RED).all(axis=2).sum(axis=1)
    lines = np.flatnonzero(np.diff((red > 20).astype(int)) == 1)  # where a line begins, going down
    assert len(lines) == 3, "the upper edge, the stroke through the token, the lower edge"


def test_everything_that_is_said_is_drawn() -> None:
    pictures = [
        rgb_array("p", ["a"], size=(320, 128)),
        rgb_array("q", ["a"], size=(320, 128)),
        rgb_array("p", ["b"], size=(320, 128)),
        rgb_array("p", ["a", "a"], size=(320, 128)),
        rgb_array("p", ["a"], size=(320, 128), stop_reason="eos", reward=1.0),
        rgb_array("p", ["a"], size=(320, 128), stop_reason="eos", reward=2.0),
        rgb_array("p", ["a"], size=(320, 128), stop_reason="stop", reward=1.0),
        rgb_array("p", ["a"], size=(320, 128), overlay=Overlay("q", [1.0])),
        rgb_array("p", ["a"], size=(320, 128), overlay=Overlay("q", [2.0])),
        rgb_array("p", ["a"], size=(320, 128), overlay=Overlay("r", [1.0])),
    ]
    assert len({picture.tobytes() for picture in pictures}) == len(pictures)
    assert all(picture.shape == (128, 320, 3) and picture.dtype == np.uint8 for picture in pictures)


def test_longer_texts_make_taller_pictures_and_stay_within_them() -> None:
    heights = [len(rgb_array("p", WORDS * times)) for times in (1, 4, 16)]
    assert heights[0] < heights[1] < heights[2]
    picture = rgb_array("p", ["W" * 300, *WORDS * 9], stop_reason="illegal", overlay=Overlay("q", [1.0] * 118))
    assert (picture[:, -8:] == 255).all()
    assert (picture[-8:] == 255).all()


def test_a_text_that_is_too_long_shows_its_end() -> None:
    size = 320, 96
    end = rgb_array("p", [*WORDS * 9, "x", "marmalade"], size=size)
    assert not np.array_equal(end, rgb_array("p", [*WORDS * 9, "x", "mandarins"], size=size))
    assert np.array_equal(end, rgb_array("p", [*WORDS * 9, "x", "marmalade"], size=size))
    assert np.array_equal(rgb_array("p", ["W" * 200], size=size), rgb_array("p", ["W" * 300], size=size))
    assert rgb_array("word " * 10_000, ["a"], size=size).shape == (96, 320, 3)
    assert rgb_array("w" * 50_000, ["a"], size=(64, 64)).shape == (64, 64, 3)


def test_hostile_and_empty_texts_are_drawn() -> None:
    for prompt, tokens in (("", []), ("", ["", " ", "\x1b[2J"]), ("\n" * 5, ["\udc80", "\u202e", "\U0010ffff"])):
        assert rgb_array(prompt, tokens, overlay=Overlay("\x07", [math.inf] * len(tokens))).shape[2] == 3


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="3 values for 1 tokens"):
        rgb_array("p", ["a"], overlay=Overlay("q", [1.0, 2.0, 3.0]))
    with pytest.raises(ConfigurationError, match=r"size=\(640, 20\).*64 by 64"):
        rgb_array("p", ["a"], size=(640, 20))
    with pytest.raises(ConfigurationError, match="no file 'nowhere.ttf'"):
        rgb_array("p", ["a"], fonts=["nowhere.ttf"])


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_frames_have_room_for_every_text_of_the_task(data: st.DataObject) -> None:
    words = data.draw(st.lists(st.text("abiWM .", min_size=1, max_size=30), min_size=1, max_size=5))
    prompts = data.draw(st.lists(st.text("ab W", max_size=80), min_size=1, max_size=3))
    budget = data.draw(st.integers(1, 12))
    size = frame_size(prompts, words, budget, fonts=())
    prompt = data.draw(st.sampled_from(prompts))
    tokens = data.draw(st.lists(st.sampled_from(words), min_size=1, max_size=budget))
    assert size[0] % 16 == size[1] % 16 == 0
    free, framed = (rgb_array(prompt, tokens, size=limit, fonts=()) for limit in (None, size))
    assert np.array_equal(written(free), written(framed))


@pytest.mark.parametrize("prompt", ["", "praise the movie", "praise the movie " * 9])
@pytest.mark.parametrize("word", ["", "a", "moving", "W" * 99])
def test_frames_are_as_high_as_the_longest_text(prompt: str, word: str) -> None:
    for budget in range(1, 13):
        tokens = [word] * budget
        free, framed = (
            rgb_array(prompt, tokens, size=size, fonts=())
            for size in (None, frame_size([prompt], [word], budget, fonts=()))
        )
        assert np.array_equal(free, framed)


def test_frames_of_long_texts_fit_a_screen() -> None:
    width, height = frame_size(["word " * 1000], ["W" * 500], 4096, overlay=True)
    assert width <= 1280
    assert height <= 1024


# ---- fonts --------------------------------------------------------------------------------------------------------


def test_a_character_that_no_face_has_becomes_a_box_of_its_own() -> None:
    marks = [stamp(letter, 20, ()) for letter in "好很\U0001f600"]
    assert len({mark.tobytes() for mark in marks}) == 3
    assert all(mark.shape == (line_height(20), 25 + 1) for mark in marks)
    assert all(np.flatnonzero(mark[line_height(20) // 2]).size >= 2 for mark in marks)  # the box's two sides
    assert stamp("好好", 20, ()).shape[1] == 24 + marks[0].shape[1]


def test_ascii_looks_the_same_whatever_fonts_there_are(tmp_path: Path) -> None:
    text = "".join(map(chr, range(32, 127)))
    broken = tmp_path / "broken.ttf"
    broken.write_bytes(b"no font")
    assert np.array_equal(stamp(text, 20, ()), stamp(text, 20, (str(broken), *system_fonts())))
    assert np.array_equal(stamp("好", 20, ()), stamp("好", 20, (str(broken),)))


def test_accents_are_composed_and_style_marks_left_out() -> None:
    assert np.array_equal(stamp("e\u0301", 20, ()), stamp("é", 20, ()))
    assert stamp("e\u0301", 20, ()).shape == stamp("好", 20, ()).shape  # one box, as Pillow's face has no accents
    assert np.array_equal(stamp("\u2764\ufe0f", 20, ()), stamp("\u2764", 20, ()))


def test_letters_from_a_system_font_replace_the_boxes() -> None:
    font = Path(pytest.importorskip("matplotlib").get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
    chain = (str(font),)
    assert not np.array_equal(stamp("ж", 20, ()), stamp("ж", 20, chain))
    assert not np.array_equal(stamp("ж", 20, chain), stamp("щ", 20, chain))
    assert np.array_equal(stamp("好", 20, ()), stamp("好", 20, chain))  # it has no Chinese
    assert np.array_equal(stamp("good", 20, ()), stamp("good", 20, chain))


def test_fonts_are_found_by_family_the_plain_one_of_each(tmp_path: Path) -> None:
    names = [
        "noto/NotoSansCJK-Bold.ttc",
        "noto/NotoSansCJK-Regular.ttc",
        "dejavu/DejaVuSansMono.ttf",
        "dejavu/DejaVuSans.ttf",
        "PingFang.ttc",
        "wqy-zenhei.ttc",
        "msyh.txt",
        "Other.ttf",
    ]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = [Path(path).name for path in find_fonts([tmp_path / "nowhere", tmp_path])]
    assert found == ["DejaVuSans.ttf", "NotoSansCJK-Regular.ttc", "PingFang.ttc", "wqy-zenhei.ttc"]


# ---- environments -------------------------------------------------------------------------------------------------


def play(env: Any, actions: list[int], prompt: int = 0) -> list[Frame]:
    """The frame after reset and after each step."""
    env.reset(options={"prompt_index": prompt})
    frames = [env.render()]
    for action in actions:
        env.step(action)
        frames.append(env.render())
    return frames


def test_all_frames_of_an_environment_have_one_size() -> None:
    env = TextGenerationEnv(toy(budget=40), render_mode="rgb_array")
    frames = [frame for prompt in range(3) for frame in play(env, [A, B] * 20, prompt)]
    assert {frame.shape for frame in frames} == {frames[0].shape}
    assert len({frame.tobytes() for frame in frames}) == len(frames)
    assert holds(play(env, [A, 7])[-1], RED)
    spelt = rgb_array("praise the movie", ["a"], size=frames[0].shape[1::-1])  # type: ignore[arg-type]
    assert np.array_equal(play(env, [A])[-1], spelt)


def test_gymnasium_accepts_every_render_mode(capsys: pytest.CaptureFixture[str]) -> None:
    env = gym.make("TextGen-v0")
    assert env.metadata["render_modes"] == ["ansi", "human", "rgb_array"]
    check_env(env.unwrapped, skip_render_check=False)
    assert capsys.readouterr().out


def test_wrapped_environments_are_drawn() -> None:
    plain = gym.make("TextGen-v0", task=PLAIN, render_mode="rgb_array")
    wrapped = OneHotTokens(gym.make("TextGen-v0", task=PLAIN, render_mode="rgb_array"))
    assert all(np.array_equal(one, other) for one, other in zip(play(plain, [A]), play(wrapped, [A]), strict=True))
    pixels = AddRenderObservation(plain)
    observation, _ = pixels.reset(seed=0)
    assert observation in pixels.observation_space
    assert np.array_equal(observation, np.asarray(plain.render()))


def test_frames_can_be_collected() -> None:
    env = RenderCollection(gym.make("TextGen-v0", task=PLAIN, render_mode="rgb_array"))
    env.reset(seed=0)
    for action in (A, B, EOS):
        env.step(action)
    frames = env.render()
    assert isinstance(frames, list)
    assert len(frames) == 4
    assert np.stack(frames).ndim == 4  # type: ignore[arg-type]


def test_chinese_is_drawn_with_whatever_fonts_there_are() -> None:
    task = toy(prompts=["夸电影"], tokenizer=CharTokenizer("夸电影很好"), constraints=())
    frames = play(TextGenerationEnv(task, render_mode="rgb_array"), [3, 4])
    assert len({frame.tobytes() for frame in frames}) == 3


def film(env: Any, actions: list[Any]) -> None:
    env.reset(seed=0)
    for action in actions:
        env.step(action)
    env.close()


@pytest.mark.filterwarnings("ignore")  # of the libraries below moviepy
def test_videos_are_recorded(tmp_path: Path) -> None:
    pytest.importorskip("moviepy")
    env = gym.make("TextGen-v0", task=PLAIN, render_mode="rgb_array")
    film(
        RecordVideo(env, str(tmp_path / "videos"), episode_trigger=lambda episode: True, disable_logger=True),
        [A, B, EOS],
    )
    assert (tmp_path / "videos" / "rl-video-episode-0.mp4").stat().st_size > 1000


class Clip:
    """What Gymnasium uses of moviepy, where that is not installed: it writes the frames as they are."""

    def __init__(self, frames: list[Frame], fps: float) -> None:
        self.frames, self.fps = np.stack(frames), fps

    def write_videofile(self, path: str, logger: str | None) -> None:
        """Writes the frames."""
        with Path(path).open("wb") as file:
            np.save(file, self.frames)


@pytest.fixture
def _clips(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("moviepy", "moviepy.video", "moviepy.video.io", "moviepy.video.io.ImageSequenceClip"):
        module = ModuleType(name)
        module.ImageSequenceClip = Clip  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, name, module)


@pytest.mark.usefixtures("_clips")
def test_a_recording_has_a_frame_for_every_step(tmp_path: Path) -> None:
    env = gym.make("TextGen-v0", task=PLAIN, render_mode="rgb_array")
    film(RecordVideo(env, str(tmp_path / "videos"), episode_trigger=lambda episode: True), [A, B, EOS])
    frames = np.load(tmp_path / "videos" / "rl-video-episode-0.mp4")
    assert frames.shape[0] == 4
    assert frames.dtype == np.uint8
    assert frames.shape[1] % 2 == frames.shape[2] % 2 == 0  # H.264 takes even sizes only


@pytest.mark.usefixtures("_clips")
def test_lanes_are_recorded_side_by_side(tmp_path: Path) -> None:
    envs = gym.make_vec("TextGen-v0", num_envs=2, task=PLAIN, render_mode="rgb_array")
    film(
        RecordVectorVideo(envs, str(tmp_path / "videos"), step_trigger=lambda step: step == 0, video_length=9),
        [[A, B], [B, 7]],
    )
    (path,) = (tmp_path / "videos").iterdir()
    single = TextGenerationEnv(PLAIN, render_mode="rgb_array")
    height, width, _ = play(single, [])[0].shape
    shape = np.load(path).shape
    assert math.prod(shape[1:3]) == 2 * height * width


# ---- machines -----------------------------------------------------------------------------------------------------


def run_alone(code: str, **changes: str) -> str:
    """What code prints in a process of its own, without a display."""
    env = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**env, **changes},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
    )
    return result.stdout


EPISODE = """
import gymnasium as gym, textgym
for mode in ("ansi", "human", "rgb_array"):
    env = gym.make("TextGen-v0", render_mode=mode)
    env.reset(seed=0)
    env.step(env.unwrapped.eos_id)
    print(type(env.render()).__name__)
"""


def test_no_mode_needs_a_display() -> None:
    lines = run_alone(EPISODE, NO_COLOR="1").splitlines()
    assert [lines[0], *lines[2:]] == ["str", "NoneType", "ndarray"]
    assert "<eos>  [eos, reward" in lines[1]


def test_without_pillow_only_pictures_are_missing() -> None:
    code = "import sys; sys.modules['PIL'] = None\n" + EPISODE.replace(
        "    print(type(env.render()).__name__)",
        "    try: env.render()\n    except textgym.errors.MissingDependencyError as error: print(error)\n",
    )
    lines = run_alone(code).splitlines()
    assert len(lines) == 2
    assert lines[1] == "a picture of a text needs the package 'pillow': pip install 'textgym[render]'"


def test_the_benchmark_times_every_form() -> None:
    lines = list(benchmark.report(tokens=5, rounds=2))
    assert [line[:24].strip() for line in lines[1:]] == list(benchmark.forms(5))
    timings = benchmark.measure(tokens=5, rounds=1)
    assert all(timing.first > 0 and timing.median > 0 for timing in timings.values())
