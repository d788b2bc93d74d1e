"""The parts of peft that are used, imported without bitsandbytes: that costs 3 s, asks for kernels
from the internet and prints a line about them on standard error.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def _without_bitsandbytes() -> Iterator[None]:
    earlier = sys.modules.get("bitsandbytes")
    if earlier is None:
        sys.modules["bitsandbytes"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if earlier is None:
            del sys.modules["bitsandbytes"]


with _without_bitsandbytes():
    from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict
    from peft.import_utils import is_bnb_4bit_available, is_bnb_available
    from peft.tuners.lora import LoraLayer
    from peft.tuners.lora.layer import Linear as LoraLinear

    # Both answers are cached, so that peft does not import it later either.
    is_bnb_available()
    is_bnb_4bit_available()

__all__ = [
    "LoraConfig",
    "LoraLayer",
    "LoraLinear",
    "PeftModel",
    "get_peft_model",
    "get_peft_model_state_dict",
]
