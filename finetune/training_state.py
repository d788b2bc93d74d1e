"""The tensors of a run at a step boundary, there and back: weights, AdamW's moments, chance.

Arrays and JSON only. A step boundary is the moment after an update, before the next step draws
from chance; gradients of a step that was cut off are no part of it.
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save

from finetune import random_state
from finetune.checkpoints import Checkpoint, read_file, read_tensors
from finetune.methods.lora import MODEL_FILE, PeftModel, adapter_files, put_weights
from finetune.run_identity import Identity
from finetune.run_record import RunRecord

ADAPTER_FOLDER = "adapter"
STATE, ARRAYS = "state.json", "state.safetensors"
_MOMENTS = ("step", "exp_avg", "exp_avg_sq")
_PREVIOUS = "previous."


class TrainingState:
    """The adapter that is trained, its optimiser, and the weights one step before.

    The weights before are the last ones that gave a finite loss (FAULTS F37).
    """

    def __init__(self, adapted: PeftModel, device: str) -> None:
        self.adapted = adapted
        self.device = device
        self._named = {
            name: part for name, part in adapted.named_parameters() if part.requires_grad
        }
        self.parameters = list(self._named.values())
        self.optimizer = torch.optim.AdamW(self.parameters, weight_decay=0.0, fused=True)
        self._previous = [part.detach().clone() for part in self.parameters]
        self._chance = random_state.capture(device)
        self.is_at_boundary = True

    def update(self, learning_rate: float) -> None:
        """One step of the optimiser; `mark_boundary` ends it."""
        with torch.no_grad():
            for part, previous in zip(self.parameters, self._previous, strict=True):
                previous.copy_(part)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.is_at_boundary = False
        self.optimizer.step()

    def mark_boundary(self) -> None:
        """The step is counted: what a checkpoint keeps from now on is this moment's state."""
        self._chance = random_state.capture(self.device)
        self.is_at_boundary = True

    def restore_previous(self) -> None:
        """Put the weights of the step before back."""
        with torch.no_grad():
            for part, previous in zip(self.parameters, self._previous, strict=True):
                part.copy_(previous)

    def files(self, record: RunRecord, identity: Identity) -> dict[str, bytes]:
        """The content of a checkpoint. The adapter in it can be used by itself."""
        adapter = adapter_files(self.adapted)
        state = {"identity": identity, "record": record.as_json()}
        return {
            **{f"{ADAPTER_FOLDER}/{name}": data for name, data in adapter.items()},
            ARRAYS: save(self._arrays()),
            STATE: (json.dumps(state, indent=1) + "\n").encode(),
        }

    def load(self, checkpoint: Checkpoint) -> None:
        """Continue from a checkpoint's tensors. Raises ValueError for those of another adapter."""
        put_weights(self.adapted, read_tensors(checkpoint, f"{ADAPTER_FOLDER}/{MODEL_FILE}"))
        arrays = read_tensors(checkpoint, ARRAYS)
        for (name, part), previous in zip(self._named.items(), self._previous, strict=True):
            previous.copy_(torch.from_numpy(arrays[_PREVIOUS + name]))
            self.optimizer.state[part] = self._moments(name, arrays)
        random_state.restore(arrays, self.device)
        self.mark_boundary()

    def _arrays(self) -> dict[str, np.ndarray]:
        arrays = dict(self._chance)
        for (name, part), previous in zip(self._named.items(), self._previous, strict=True):
            arrays[_PREVIOUS + name] = previous.cpu().numpy()
            moments: Mapping[str, torch.Tensor] = self.optimizer.state.get(part, {})
            for kind, values in moments.items():
                arrays[f"{kind}.{name}"] = values.cpu().numpy()
        return arrays

    def _moments(self, name: str, arrays: Mapping[str, np.ndarray]) -> dict[str, torch.Tensor]:
        # Before the first update there are none.
        found = {kind: arrays.get(f"{kind}.{name}") for kind in _MOMENTS}
        return {
            kind: torch.from_numpy(values.copy()).to(self.device)
            for kind, values in found.items()
            if values is not None
        }


def read_state(checkpoint: Checkpoint) -> tuple[dict[str, Any], dict[str, Any]]:
    """(identity, record) of a checkpoint, as JSON values."""
    state = json.loads(read_file(checkpoint, STATE))
    return state["identity"], state["record"]
