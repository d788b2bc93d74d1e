"""Names of models in Ollama: the rules, checked before anything is sent (FAULTS F29).

Source of the rules: ollama `types/model/name.go`.
"""

import re
from dataclasses import dataclass

from converters.errors import UserError

PART_LIMIT = 80
HOST_LIMIT = 350
UNPROVEN = "unproven"
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", re.ASCII)
_NAMESPACE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*", re.ASCII)
_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]*", re.ASCII)
# Names of devices on Windows: a store there cannot hold a folder called so.
_DEVICES = {"con", "prn", "aux", "nul", *(f"{d}{n}" for d in ("com", "lpt") for n in range(1, 10))}


class NameRefused(UserError):
    """A name that Ollama, or a file system below it, would not take."""

    def __init__(self, name: str, reason: str) -> None:
        shown = ascii(name if len(name) <= 60 else name[:57] + "...")
        super().__init__(
            f"{shown} cannot be the name of a model.",
            reason,
            "Use letters, digits, '.', '_' and '-', at most 70 of them, e.g. `tickets` or "
            "`tickets:v2`.",
        )


@dataclass(frozen=True)
class ModelName:
    """The parts of a name, "" where the text has none. The tag `latest` is the default."""

    host: str
    namespace: str
    model: str
    tag: str

    @property
    def full(self) -> str:
        """Host, namespace and tag filled in: two names are one if these are equal (any case)."""
        return "/".join(
            (self.host or "registry.ollama.ai", self.namespace or "library",
             f"{self.model}:{self.tag or 'latest'}")
        ).lower()  # fmt: skip


def parse_name(name: str) -> ModelName:
    """Split `[[host/]namespace/]model[:tag]`; checks nothing but the number of parts."""
    rest, tag = name, ""
    if name.rfind(":") > name.rfind("/"):
        rest, _, tag = name.rpartition(":")
        if not tag:
            raise NameRefused(name, "There is nothing after the ':'.")
    parts = rest.split("/")
    if len(parts) > 3 or "" in parts:
        raise NameRefused(name, "Between '/' there must be one to three parts, none empty.")
    host, namespace, model = ["", "", *parts][-3:]
    return ModelName(host, namespace, model, tag)


def check_name(name: str) -> ModelName:
    """The parts of a name for a *new* model. Raises `NameRefused` with the reason."""
    if not name.isascii():
        odd = next(character for character in name if not character.isascii())
        raise NameRefused(name, f"Ollama takes no {ascii(odd)}, only plain ASCII letters.")
    parts = parse_name(name)
    _check_part(name, "host", parts.host, _HOST, HOST_LIMIT)
    _check_part(name, "namespace", parts.namespace, _NAMESPACE, PART_LIMIT)
    _check_part(name, "model", parts.model, _PART, PART_LIMIT)
    # The unproven name has the same model and a longer tag.
    _check_part(name, "tag", parts.tag, _PART, PART_LIMIT - len(UNPROVEN) - 1)
    _check_meaning(name, parts)
    return parts


def unproven_name(name: str) -> str:
    """The name a model has until its proofs passed: `-unproven` appended to the tag."""
    tag = parse_name(name).tag
    return f"{name}-{UNPROVEN}" if tag else f"{name}:{UNPROVEN}"


def same_name(first: str, second: str) -> bool:
    """True if Ollama takes both texts for one model (default tag and letter case aside)."""
    return parse_name(first).full == parse_name(second).full


def _check_part(name: str, kind: str, part: str, pattern: re.Pattern[str], limit: int) -> None:
    if part == "" and kind != "model":
        return
    if len(part) > limit:
        raise NameRefused(name, f"The {kind} has {len(part)} characters, at most {limit} fit.")
    if not pattern.fullmatch(part):
        odd = next((c for c in part if not pattern.fullmatch("a" + c)), part[:1])
        raise NameRefused(name, f"The {kind} may not contain or begin with {ascii(odd)}.")


def _check_meaning(name: str, parts: ModelName) -> None:
    for part in (parts.host, parts.namespace, parts.model, parts.tag):
        if part.lower().partition(".")[0] in _DEVICES or part.endswith("."):
            raise NameRefused(name, f"{part!r} is a reserved file name on Windows.")
    tag = parts.tag.lower()
    if tag == "cloud" or tag.endswith("-cloud"):
        raise NameRefused(name, "Ollama runs names with the tag 'cloud' on other machines.")
    if tag == UNPROVEN or tag.endswith(f"-{UNPROVEN}"):
        raise NameRefused(name, "The tag 'unproven' marks models whose proofs have not passed.")
