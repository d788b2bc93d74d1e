"""What a job of the kind "tune" is told: everything resolved, nothing left to the environment."""

from pathlib import Path
from typing import Literal

from desktop.core.records import Record
from finetune.spec import TuneSpec

Engine = Literal["ollama", "builtin"]


class BaseFile(Record):
    """The model file to tune: where it lies and what it must be. Content of `base.json`.

    digest: of the model as the server lists it; sha256: of the file, both 64 hex digits.
    """

    model: str
    path: Path
    sha256: str
    digest: str
    architecture: str
    n_bytes: int


class TuneJob(Record):
    """Content of `spec.json`. home: the folder of the built-in engine's models. version: of the
    engine. examples: how many answers are written out to be scored part by part."""

    kind: Literal["tune"] = "tune"
    tune: TuneSpec
    engine: Engine
    host: str
    version: str
    home: Path
    base: BaseFile
    examples: int = 100
