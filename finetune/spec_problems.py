"""What is wrong with a specification, in words: the field, its value, and what is allowed."""

from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

_WHOLE = {"int_parsing", "int_type", "int_from_float", "int_parsing_size"}
_NUMBER = {"float_parsing", "float_type", "finite_number"}
_BOUNDS = {"greater_than", "greater_than_equal", "less_than", "less_than_equal"}
_YES_NO = {"bool_parsing", "bool_type"}
_TEXT = {"string_type", "path_type"}


def problems(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """Every problem of `error`, one `field: what is wrong` each, in the order of the fields."""
    return [f"{_place(item)}: {_text(item, model)}" for item in error.errors()]


def _place(item: ErrorDetails) -> str:
    return ".".join(str(part) for part in item["loc"] if part != "[key]")


def _text(item: ErrorDetails, model: type[BaseModel]) -> str:
    kind, value, context = item["type"], item["input"], item.get("ctx", {})
    if kind in ("missing", "extra_forbidden", "string_too_short"):
        return {"missing": "is missing", "string_too_short": "is empty"}.get(kind, "unknown key")
    if kind == "literal_error":
        return f"{_shown(value)} is not one of {_choices(item, model) or context['expected']}"
    if kind in _BOUNDS:
        return f"{_shown(value)} is not {_range(item, model)}"
    wanted = _wanted(kind)
    if wanted:
        bounds = _range(item, model)
        return f"{_shown(value)} is not {wanted}{f' {bounds}' if bounds else ''}"
    return item["msg"].removeprefix("Value error, ")


def _wanted(kind: str) -> str:
    kinds = {
        "a whole number": _WHOLE, "a number": _NUMBER, "true or false": _YES_NO, "a text": _TEXT,
        "a table of columns": {"dict_type"},
    }  # fmt: skip
    return next((words for words, known in kinds.items() if kind in known), "")


def _choices(item: ErrorDetails, model: type[BaseModel]) -> str:
    field = model.model_fields.get(str(item["loc"][0]))
    values = [value for value in get_args(field.annotation) if isinstance(value, str)] \
        if field and len(item["loc"]) == 1 else []  # fmt: skip
    return ", ".join(values)


def _range(item: ErrorDetails, model: type[BaseModel]) -> str:
    """The field's bounds in words; "" if it has none."""
    field = model.model_fields.get(str(item["loc"][0]))
    bounds = dict(_bounds(field.metadata if field else []))
    low, high = bounds.get("ge"), bounds.get("le")
    if high is None and isinstance(bounds.get("lt"), int):
        high = bounds["lt"] - 1
    if low is not None and high is not None:
        return f"between {low} and {high}"
    parts = [
        text for value, text in (
            (bounds.get("gt"), f"above {bounds.get('gt')}"), (low, f"at least {low}"),
            (high, f"at most {high}"),
        ) if value is not None
    ]  # fmt: skip
    return " and ".join(parts)


def _bounds(metadata: list[Any]) -> Iterator[tuple[str, Any]]:
    for part in metadata:
        for name in ("ge", "gt", "le", "lt"):
            if hasattr(part, name):
                yield name, getattr(part, name)


def _shown(value: Any) -> str:
    text = f'"{value}"' if isinstance(value, str) else str(value)
    if isinstance(value, Mapping | list):
        text = f"a {'table' if isinstance(value, Mapping) else 'list'}"
    return text if len(text) <= 60 else f"{text[:57]}..."
