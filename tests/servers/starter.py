"""The starter model's GGUF for tests: cached, else fetched by the product's own code."""

import os
from functools import cache
from pathlib import Path

from desktop.core.catalog import fetch_starter, starter


@cache
def starter_gguf() -> Path:
    """Path of SmolLM2-135M-Instruct Q4_1 in the user's test cache, hash checked on download."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = root / "tunedesk-test" / "models"
    return fetch_starter(starter(), folder)
