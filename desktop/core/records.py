"""Our own JSON files: frozen pydantic values, written durably, refused when they are not ours."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from converters.durable_files import write_json
from converters.errors import UserError


class Record(BaseModel):
    """Base of our own files: frozen, and a field that we do not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def read_record[R: Record](path: Path, kind: type[R]) -> R:
    """Read one of our own JSON files. Raises UserError if it is damaged or from another version."""
    try:
        return kind.model_validate_json(path.read_bytes())
    except (OSError, ValueError) as error:
        detail = str(error).splitlines()[0]
        raise UserError(
            f"The job's file {path.name} cannot be used.", detail, "Start the job anew."
        ) from error


def write_record(path: Path, value: Record) -> None:
    """Write one of our own JSON files, durably."""
    write_json(path, value.model_dump(mode="json"))


def read_lines[R: Record](path: Path, kind: type[R]) -> list[R]:
    """Read a file of one record a line. Raises UserError as `read_record` does."""
    try:
        with path.open("rb") as file:
            return [kind.model_validate_json(line) for line in file if line.strip()]
    except (OSError, ValueError) as error:
        detail = str(error).splitlines()[0]
        raise UserError(
            f"The job's file {path.name} cannot be used.", detail, "Start the job anew."
        ) from error
