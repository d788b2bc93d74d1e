"""What a person accepted after the memory ran out; applied to packs at run time, after packing.

So the steps, their order and the effective batch stay what they were. Torch-free.
"""

from pydantic import BaseModel, ConfigDict, Field


class Relief(BaseModel):
    """split: parts that each pack goes through the model in. row_tokens: where longer rows are
    cut, None for nowhere. recompute: activations are computed again instead of kept.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    split: int = Field(default=1, ge=1)
    row_tokens: int | None = Field(default=None, ge=1)
    recompute: bool = False
