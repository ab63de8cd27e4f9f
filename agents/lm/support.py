"""Whether a model can be read as this package reads it: found out at construction, and not from wrong numbers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from textgym.agents.lm.slots import Slots
from textgym.errors import ConfigurationError

_CAP = "final_logit_softcapping"  # near 0 a cap changes nothing, so a comparison of numbers may not show it


def check_support(lm: Any) -> None:
    """Refuses a model whose log-probabilities would be wrong here.

    Raises:
        ConfigurationError: for logits that are more than the output head on the last states, since they are computed
            in chunks from these; and for layers that cannot be read row by row, as recurrent ones.
    """
    slots = Slots(lm, 2, 4)  # refuses kinds of layers by their names
    if lm.device.type == "meta":
        return
    ids = torch.arange(8, device=lm.device).remainder(lm.get_input_embeddings().weight.shape[0]).view(2, 4)
    with torch.inference_mode():
        outputs = lm(input_ids=ids, attention_mask=torch.ones_like(ids), output_hidden_states=True, use_cache=False)
        head = lm.get_output_embeddings()
        if getattr(lm.config.get_text_config(), _CAP, None) or not _close(
            head(outputs.hidden_states[-1]), outputs.logits
        ):
            raise ConfigurationError(
                f"{type(lm).__name__} does more to its logits than its output head (a cap or a scale); such models are "
                "not supported here"
            )
        _check_reading(lm, slots, ids, outputs.logits)


def _check_reading(lm: Any, slots: Slots, ids: Tensor, logits: Tensor) -> None:
    """Reads two texts of different lengths in two goes, and compares."""
    reason = "its numbers differ from those of a whole pass"
    try:
        slots.read(ids[:, :2], ids.new_tensor([2, 1]))  # of the second row, the first column is padding
        found, _ = slots.read(torch.stack([ids[0, 2:3], ids[1, 2:3]]), ids.new_tensor([1, 1]))
        (shorter,) = lm(input_ids=ids[1:, 1:3], attention_mask=torch.ones_like(ids[1:, 1:3]), use_cache=False).logits
        if _close(found, torch.stack([logits[0, 2], shorter[-1]])):
            return
    except (TypeError, ValueError, AttributeError, LookupError, RuntimeError) as error:
        if isinstance(error, torch.cuda.OutOfMemoryError):
            raise
        reason = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
    raise ConfigurationError(
        f"{type(lm).__name__} cannot be read row by row ({reason}); only models whose layers keep keys and values, and "
        "whose positions can be handed in, are supported"
    )


def _close(found: Tensor, expected: Tensor) -> bool:
    loose = 1e-3 if expected.dtype == torch.float32 else 5e-2
    scale = float(expected.abs().max())
    return bool((found - expected).abs().max() <= loose * max(scale, 1e-3))
