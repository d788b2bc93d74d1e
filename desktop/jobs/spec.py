"""What a job is told, by its kind: everything resolved, nothing left to the environment."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel

from desktop.core.records import Record, read_record
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

    @property
    def about(self) -> str:
        """What the job makes: the name of the model."""
        return self.tune.name


class IndexJob(Record):
    """Content of `spec.json` of a job that adds documents. folder: of the library. paths: files
    and folders as `desktop.documents.file_names.as_address` writes them."""

    kind: Literal["index"] = "index"
    library: str
    folder: Path
    paths: tuple[str, ...]

    @property
    def about(self) -> str:
        """What the job fills: the name of the library."""
        return self.library


class _Kind(BaseModel):
    kind: str = ""


def kind_in(path: Path) -> str:
    """The kind that a `spec.json` names, "" if it cannot be read or names none."""
    try:
        return _Kind.model_validate_json(path.read_bytes()).kind
    except (OSError, ValueError):
        return ""


def read_job(path: Path) -> TuneJob | IndexJob:
    """A `spec.json` of either kind. Raises UserError as `read_record` does."""
    return read_record(path, IndexJob if kind_in(path) == "index" else TuneJob)
