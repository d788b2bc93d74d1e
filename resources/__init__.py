"""Data that ships with the program: samples, texts, catalogue. Never code but `path`."""

from pathlib import Path


def path(name: str) -> Path:
    """The file `name` below resources/. Raises FileNotFoundError if the installation lacks it."""
    found = Path(__file__).parent / name
    if not found.exists():
        raise FileNotFoundError(f"resources/{name} is missing from this installation")
    return found
