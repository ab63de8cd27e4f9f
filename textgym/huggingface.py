"""Tokenizers of the ``transformers`` library, which is imported when one is made."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

from textgym.errors import TokenizerError, missing_dependency

# Templates that ask for the date would change prompts from day to day; Llama's own say this one where nobody knows it.
_TODAY = "{%- macro strftime_now(format) -%}{{ {'%Y-%m-%d': '2024-07-26'}.get(format, '26 Jul 2024') }}{%- endmacro -%}"


class HuggingFaceTokenizer:
    """Any fast tokenizer of the ``transformers`` library.

    Every id of the vocabulary is an action. Ids end a text if the tokenizer or the folder's
    ``generation_config.json`` names them so; the other special ids are never legal actions.

    Args:
        path_or_name: A local folder with ``tokenizer.json``, or a name on the hub.
        revision: The hub revision to pin.
        chat_template: Prompts become what a user says to a chat model: True takes the tokenizer's own template, a path
            one of a file. Completions, and what a partner says in a conversation, stay as they are. A template that
            asks for the date is told the same one every day.
        system: The system message before every prompt; needs a template.

    Raises:
        TokenizerError: if the tokenizer cannot be loaded or has no end-of-text id; if there is no template where one is
            asked for; from :meth:`encode`, if the text holds something that the vocabulary lacks and there is no
            unknown token.
    """

    def __init__(
        self,
        path_or_name: str | Path,
        *,
        revision: str | None = None,
        chat_template: bool | str | Path = False,
        system: str | None = None,
    ) -> None:
        self.path_or_name = str(path_or_name)
        self.revision = revision
        self.system = system
        if Path(path_or_name).is_file():
            raise TokenizerError(
                f"{self.path_or_name!r} is a file; pass the folder: {str(Path(path_or_name).parent)!r}"
            )
        self.vocab_size = 1 + max(self.backend.get_vocab().values())
        end_ids = self._end_ids()
        if not end_ids:
            raise TokenizerError(
                f"the tokenizer {self.path_or_name!r} has no end-of-text token, so no text could ever end by itself; "
                "set one and save it again: tokenizer.add_special_tokens({'eos_token': '<eos>'})"
            )
        self.eos_ids: tuple[int, ...] = end_ids
        self.chat_template: str | None = self._find_template(chat_template)
        if system is not None and self.chat_template is None:
            raise TokenizerError(f"system={system!r} needs a chat template; pass chat_template=True or a file's path")

    @cached_property
    def backend(self) -> Any:
        """The tokenizer of ``transformers`` itself."""
        try:
            from transformers import AutoTokenizer
        except ImportError as error:
            raise missing_dependency("transformers", "lm", "HuggingFaceTokenizer") from error
        try:
            revision = self.revision or "main"
            backend = AutoTokenizer.from_pretrained(self.path_or_name, revision=revision, trust_remote_code=False)
            if len(backend) <= len(backend.all_special_ids):  # transformers makes one up for a folder without any
                raise ValueError("it has no tokens but special ones")
        except Exception as error:  # the library's Rust part raises nothing more special for a damaged file
            raise TokenizerError(
                f"no tokenizer could be loaded from {self.path_or_name!r}: expected a local folder with tokenizer.json "
                f"or the name of one on the hub ({type(error).__name__}: {str(error).partition(chr(10))[0]})"
            ) from error
        return backend

    def _end_ids(self) -> tuple[int, ...]:
        own = self.backend.eos_token_id
        declared: list[int] = [own] if own is not None else []
        try:
            from transformers import GenerationConfig

            extra = GenerationConfig.from_pretrained(self.path_or_name, revision=self.revision or "main").eos_token_id
        except (OSError, ValueError):
            extra = None
        declared += [extra] if isinstance(extra, int) else list(extra or [])
        return tuple(dict.fromkeys(index for index in declared if index < self.vocab_size))

    @cached_property
    def tokens(self) -> tuple[str, ...]:
        """The vocabulary's own spelling of each id; ids that the vocabulary skips are ``<unused N>``."""
        names = {index: token for token, index in self.backend.get_vocab().items()}
        return tuple(names.get(index, f"<unused {index}>") for index in range(self.vocab_size))

    @cached_property
    def special_ids(self) -> frozenset[int]:
        """All special ids and unused rows, end ids excluded."""
        gaps = set(range(self.vocab_size)) - set(self.backend.get_vocab().values())
        # Llama's header tokens, for one, are special as added tokens and no named special token.
        added = {index for index, token in self.backend.added_tokens_decoder.items() if token.special}
        return frozenset((set(self.backend.all_special_ids) | added | gaps) - set(self.eos_ids))

    @property
    def unk_id(self) -> int | None:
        """The tokenizer's own unknown id, where it has one."""
        unknown = self.backend.unk_token_id
        return None if unknown in self.eos_ids else unknown

    def _find_template(self, wanted: bool | str | Path) -> str | None:
        """The template itself, or None."""
        if isinstance(wanted, bool):
            own = self.backend.chat_template if wanted else None
            if wanted and not isinstance(own, str):
                kinds = "several templates" if own else "no chat template"
                raise TokenizerError(
                    f"the tokenizer {self.path_or_name!r} has {kinds}; pass chat_template= the path of one in Jinja"
                )
            return own
        try:
            return Path(wanted).read_text(encoding="utf-8")
        except OSError as error:
            raise TokenizerError(
                f"chat_template={str(wanted)!r}: expected True, False or the path of a file with a template ({error})"
            ) from error

    def encode_prompt(self, text: str) -> list[int]:
        """Turns a prompt into ids, through the chat template where there is one."""
        if self.chat_template is None:
            return self.encode(text)
        messages = [] if self.system is None else [{"role": "system", "content": self.system}]
        try:
            rendered = self.backend.apply_chat_template(
                [*messages, {"role": "user", "content": text}],
                chat_template=_TODAY * ("strftime_now" in self.chat_template) + self.chat_template,
                add_generation_prompt=True,
                tokenize=False,
            )
        except Exception as error:  # templates raise what they like
            raise TokenizerError(
                f"the chat template of {self.path_or_name!r} refuses the prompt {text[:60]!r} with "
                f"system={self.system!r} ({type(error).__name__}: {error})"
            ) from error
        return self.encode(rendered)

    def encode(self, text: str) -> list[int]:
        """Turns text into ids, without any special id that the text does not spell out."""
        try:
            return list(self.backend.encode(text, add_special_tokens=False))
        except Exception as error:  # what the Rust part raises is nothing more special
            raise TokenizerError(
                f"the tokenizer {self.path_or_name!r} cannot encode {text[:60]!r} ({error}); it seems to have no "
                "unknown token in its vocabulary: add one, or keep to texts that it knows"
            ) from error

    def decode(self, ids: Iterable[int]) -> str:
        """Decodes the whole sequence at once; special and end ids leave no trace."""
        hidden = self.special_ids.union(self.eos_ids)
        kept = [int(index) for index in ids if 0 <= index < self.vocab_size and index not in hidden]
        return str(self.backend.decode(kept, clean_up_tokenization_spaces=False))

    def __repr__(self) -> str:
        chat = ", chat_template=..." if self.chat_template is not None else ""
        return f"HuggingFaceTokenizer({self.path_or_name!r}{chat})"

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "backend"}

    def __deepcopy__(self, memo: dict[int, Any]) -> HuggingFaceTokenizer:
        return self
