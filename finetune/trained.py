"""The trained model as the proofs see it: distributions in float32 with the adapter on and off,
and the change of every weight, both from the modules in memory.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from converters.gguf.header import Header, read_header
from finetune.base_model import LlamaForCausalLM, load_base, n_parameters
from finetune.forward import head_of
from finetune.methods.lora import PeftModel, deltas, load_adapter

Float32 = NDArray[np.float32]
# Below this many weights the dense float32 form is small, and twice as fast as dequantising.
DENSE_BELOW_PARAMETERS = 500_000_000


class Trained:
    """A base and its adapter, computing in float32 whatever the training computed in."""

    def __init__(self, adapted: PeftModel, model: LlamaForCausalLM, header: Header) -> None:
        self._adapted = adapted
        self._model = model
        self._header = header

    @torch.inference_mode()
    def log_probs(self, ids: Sequence[int], start: int, *, tuned: bool) -> Float32:
        """Natural log-probabilities that predict ids[start:]: (len(ids) - start, vocabulary).

        start >= 1. tuned False: the base alone, with the adapter switched off.
        """
        switch = nullcontext() if tuned else self._adapted.disable_adapter()
        with switch:
            device = self._model.model.norm.weight.device
            tokens = torch.tensor([list(ids)], device=device)
            states = self._model.model(input_ids=tokens).last_hidden_state[0, start - 1 : -1]
            logits = head_of(self._model)(states)
        return torch.log_softmax(logits.float(), dim=-1).cpu().numpy()

    def deltas(self) -> Iterator[tuple[str, Float32]]:
        """(GGUF tensor name, dW as the module applies it, float32 in the file's row order)."""
        for name, delta in deltas(self._adapted, self._header):
            yield name, delta.cpu().numpy()


@contextmanager
def open_trained(base: Path, adapter: Path, device: str = "cpu") -> Iterator[Trained]:
    """Load a base and its saved adapter for the proofs; freed at the end of the block."""
    header = read_header(base)
    form = "f32" if n_parameters(header) < DENSE_BELOW_PARAMETERS else "blocks"
    model = load_base(base, form=form, dtype=torch.float32, device=device)
    adapted = load_adapter(model, adapter)
    adapted.eval()
    yield Trained(adapted, model, header)
