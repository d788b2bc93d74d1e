"""TuneSpec: what a person asks for (as TOML or options), and TrainSpec: every default resolved.

Both are plain frozen values; `validate` reports every problem at once. The defaults are those of
DESIGN 6.
"""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from converters.durable_files import write_bytes
from converters.errors import UserError
from finetune.data.rows import ColumnMap
from finetune.data.segments import TooLong
from finetune.relief import Relief
from finetune.spec_problems import problems

Method = Literal["qlora"]
BaseForm = Literal["blocks", "16bit", "f32"]
TaskChoice = Literal["auto", "labels", "json", "text"]
ExportType = Literal[
    "auto", "same", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q4_K", "Q5_K", "Q6_K", "Q8_0", "F16", "BF16"
]

SMALL, MEDIUM = 500_000_000, 2_000_000_000
STEPS_AN_EPOCH = 75
TOKENS_A_STEP = (512, 16_384)
ONE_EPOCH_ABOVE_ROWS = 2_000
TOKENS_A_PASS = 2_048
CHECKPOINT_SECONDS = 300.0
_NAME = re.compile(r"[A-Za-z0-9][\w./-]*(:[\w.-]+)?", re.ASCII)


class TuneSpec(BaseModel):
    """One tuning run as it is asked for; None means "the default for this model and data"."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = Field(min_length=1, description="The model to tune, as `tunedesk models` names it")
    data: Path = Field(description="The file of training rows")
    name: str = Field(min_length=1, description="The name of the tuned model")
    held_out: Path | None = Field(default=None, description="Rows that are measured, not trained")
    columns: dict[Literal["prompt", "completion", "system"], str] = Field(
        default_factory=dict, description="Which column of the data holds which part"
    )
    task: TaskChoice = "auto"
    method: Method = "qlora"
    base: BaseForm = "blocks"
    rank: int = Field(default=16, ge=1, le=1024)
    alpha: float = Field(default=32.0, gt=0, le=4096)
    learning_rate: float | None = Field(default=None, gt=0, le=1)
    epochs: float | None = Field(default=None, gt=0, le=1000)
    max_tokens: int = Field(default=2048, ge=16, le=1_048_576)
    too_long: TooLong = "truncate"
    tokens_per_step: int | None = Field(default=None, ge=16, le=4_194_304)
    max_seconds: float | None = Field(default=None, gt=0, description="Fit 1 to 2 epochs into it")
    dropout: float = Field(
        default=0.0, ge=0, le=0.9, description="Share of the adapter's inputs left out by chance"
    )
    patience: int | None = Field(
        default=None, ge=1, le=1000,
        description="Stop after so many measurements in a row without a lower held-out loss",
    )  # fmt: skip
    recompute: bool = Field(
        default=False, description="Compute activations again instead of keeping them"
    )
    checkpoint_seconds: float = Field(
        default=CHECKPOINT_SECONDS, ge=1, le=86_400, description="Seconds between two checkpoints"
    )
    seed: int = Field(default=0, ge=0, lt=2**32)
    export_type: ExportType = "auto"
    keep_general: float = 0.0
    chat_template: Literal["chatml"] = Field(default="chatml", description="If the base has none")
    think: bool = False
    replace: bool = False

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise ValueError(f"`{name}` is not a model name (letters, digits and . _ - / : only)")
        return name

    @field_validator("export_type", mode="before")
    @classmethod
    def _as_types_are_written(cls, name: Any) -> Any:
        """`q8_0` and `AUTO` mean what they mean for `export --type`."""
        if not isinstance(name, str):
            return name
        return name.lower() if name.lower() in ("auto", "same") else name.upper()

    @field_validator("held_out")
    @classmethod
    def _check_held_out(cls, held_out: Path | None, info: ValidationInfo) -> Path | None:
        if held_out is not None and held_out == info.data.get("data"):
            raise ValueError("the same file as data, so nothing would be held out")
        return held_out

    @field_validator("max_seconds")
    @classmethod
    def _check_max_seconds(cls, seconds: float | None, info: ValidationInfo) -> float | None:
        if seconds is not None and info.data.get("epochs") is not None:
            raise ValueError("cannot be given together with epochs")
        return seconds

    @field_validator("keep_general")
    @classmethod
    def _check_keep_general(cls, weight: float) -> float:
        if weight:
            raise ValueError("the guard is not available yet, leave it at 0")
        return weight

    def column_map(self) -> ColumnMap:
        """The columns with the defaults filled in."""
        return ColumnMap(**self.columns)


class TrainSpec(BaseModel):
    """What the training loop is told: no None where a number is needed.

    `base_path` is the GGUF file. tokens_per_step counts all tokens of an optimiser step,
    tokens_per_pass those that go through the model at once (memory; a longer row goes alone).
    epochs may be a fraction; with max_seconds the loop chooses it between 1 and 2. evaluations
    counts those between the first and the last one; patience those in a row that may pass without
    a lower loss. base_sha256 names the base's content, so that a run is continued on no other.
    checkpoint_steps: a checkpoint also every so many steps.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_path: Path
    base_sha256: str = ""
    form: BaseForm = "blocks"
    method: Method = "qlora"
    rank: int = 16
    alpha: float = 32.0
    dropout: float = 0.0
    learning_rate: float = 1e-3
    epochs: float = 1.0
    tokens_per_step: int = 512
    tokens_per_pass: int = 2048
    max_seconds: float | None = None
    clip: float = 1.0
    evaluations: int = 9
    evaluation_rows: int = 100
    patience: int | None = None
    checkpoint_seconds: float = CHECKPOINT_SECONDS
    checkpoint_steps: int | None = None
    relief: Relief = Relief()
    seed: int = 0
    device: Literal["cpu", "cuda"] = "cpu"


def validate(values: Mapping[str, Any]) -> list[str]:
    """Every problem of a specification, one sentence each; empty if it can be used."""
    try:
        TuneSpec.model_validate(dict(values))
    except ValidationError as error:
        return problems(error, TuneSpec)
    return []


def parse(values: Mapping[str, Any]) -> TuneSpec:
    """TuneSpec of `values`. Raises UserError that lists every problem."""
    found = validate(values)
    if found:
        raise UserError(
            f"The specification has {len(found)} problem{'s' * (len(found) > 1)}.",
            "; ".join(found) + ".",
            "Correct these and start again; nothing was changed.",
        )
    return TuneSpec.model_validate(dict(values))


def read_toml(path: Path) -> TuneSpec:
    """Read a specification file; its paths count from the file's own folder.

    Raises UserError if it is missing, is no TOML, or has problems (all of them named).
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        hint = "Check the path."
        detail = f"{path}: {error.strerror}."
        raise UserError("The specification could not be read.", detail, hint) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        hint = "Correct the file; README shows an example."
        raise UserError("The specification is not TOML.", f"{path.name}: {error}.", hint) from error
    for key in ("data", "held_out"):
        if isinstance(values.get(key), str):
            values[key] = path.parent / values[key]
    return parse(values)


def write_toml(path: Path, spec: TuneSpec) -> None:
    """Write `spec` so that `read_toml` gives it back; defaults are left out."""
    values = spec.model_dump(mode="json", exclude_defaults=True)
    tables = {key: value for key, value in values.items() if isinstance(value, dict)}
    lines = [f"{key} = {_toml(value)}" for key, value in values.items() if key not in tables]
    for key, table in tables.items():
        lines += ["", f"[{key}]", *(f"{name} = {_toml(value)}" for name, value in table.items())]
    write_bytes(path, ("\n".join(lines) + "\n").encode())


def default_learning_rate(parameters: int) -> float:
    """QLoRA's rate: 1e-3 below 0.5B parameters, 5e-4 below 2B, else 2e-4."""
    if parameters < SMALL:
        return 1e-3
    return 5e-4 if parameters < MEDIUM else 2e-4


def default_epochs(rows: int) -> float:
    """1 above 2,000 rows, else 3."""
    return 1.0 if rows > ONE_EPOCH_ABOVE_ROWS else 3.0


def default_tokens_per_step(epoch_tokens: int) -> int:
    """An epoch's tokens / 75, between 512 and 16,384."""
    low, high = TOKENS_A_STEP
    return min(max(epoch_tokens // STEPS_AN_EPOCH, low), high)


def warm_up_steps(steps: int) -> int:
    """The larger of 10 steps and 3 %, at most a tenth of the run; at least 1."""
    return max(1, min(max(10, round(0.03 * steps)), steps // 10))


def resolve(
    spec: TuneSpec,
    base_path: Path,
    *,
    parameters: int,
    rows: int,
    epoch_tokens: int,
) -> TrainSpec:
    """Fill in every default for a base of so many parameters and so many training rows.

    `epoch_tokens` counts the tokens of all training rows after cutting.
    """
    tokens_per_step = spec.tokens_per_step or default_tokens_per_step(epoch_tokens)
    return TrainSpec(
        base_path=base_path,
        form=spec.base,
        method=spec.method,
        rank=spec.rank,
        alpha=spec.alpha,
        learning_rate=spec.learning_rate or default_learning_rate(parameters),
        epochs=spec.epochs or default_epochs(rows),
        tokens_per_step=tokens_per_step,
        tokens_per_pass=min(tokens_per_step, TOKENS_A_PASS),
        max_seconds=spec.max_seconds,
        evaluations=1 if spec.max_seconds else 9,
        dropout=spec.dropout,
        patience=spec.patience,
        checkpoint_seconds=spec.checkpoint_seconds,
        relief=Relief(recompute=spec.recompute),
        seed=spec.seed,
    )


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return _toml_text(value) if isinstance(value, str) else repr(value)


def _toml_text(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    # TOML allows no control characters in a basic string but as \uXXXX.
    return '"' + re.sub(r"[\x00-\x1f\x7f]", lambda c: f"\\u{ord(c[0]):04x}", escaped) + '"'
