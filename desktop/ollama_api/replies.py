"""Ollama's answers as frozen values, and how they are read from its JSON. Knows no network.

Unknown fields are ignored: newer servers send more. Source: ollama `api/types.go`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Message = Mapping[str, Any]
"""One chat message as Ollama takes it: at least `role` and `content`."""


@dataclass(frozen=True)
class Tag:
    """One line of /api/tags. digest: SHA-256 of the manifest file, hex. n_bytes: all layers.

    remote_host is not empty for a model that runs on somebody else's machine.
    """

    name: str
    digest: str
    n_bytes: int
    family: str
    parameters: str
    quantization: str
    remote_host: str = ""
    remote_model: str = ""
    capabilities: tuple[str, ...] = ()

    @property
    def is_remote(self) -> bool:
        """The model has no weights here: it runs in Ollama's cloud or on another host."""
        return bool(self.remote_host or self.remote_model)


@dataclass(frozen=True)
class Show:
    """/api/show of one model, as text; `modelfile` is the only place of RENDERER and PARSER."""

    name: str
    modelfile: str
    template: str
    system: str
    parameters: str
    license: str
    messages: tuple[Message, ...]
    details: Mapping[str, Any]
    model_info: Mapping[str, Any]
    capabilities: tuple[str, ...]
    remote_host: str = ""
    remote_model: str = ""
    requires: str = ""

    @property
    def is_remote(self) -> bool:
        """As `Tag.is_remote`."""
        return bool(self.remote_host or self.remote_model)


@dataclass(frozen=True)
class Loaded:
    """One line of /api/ps: a model in memory with its effective context length in tokens."""

    name: str
    digest: str
    n_bytes: int
    vram_bytes: int
    context_length: int


@dataclass(frozen=True)
class TokenLogProb:
    """A generated token's text, its log-probability (nats) and the best alternatives, best first.

    raw: the token's bytes (a token may be half a character). top: (text, log-probability, bytes).
    """

    text: str
    logprob: float
    raw: bytes
    top: tuple[tuple[str, float, bytes], ...] = ()


@dataclass(frozen=True)
class ChatPart:
    """One line of a streamed answer. Counts and stop_reason stand in the last one (`done`)."""

    text: str
    thinking: str
    done: bool
    stop_reason: str = ""
    prompt_tokens: int = 0
    answer_tokens: int = 0
    logprobs: tuple[TokenLogProb, ...] = ()


@dataclass(frozen=True)
class ChatAnswer:
    """A whole answer. prompt_tokens: `prompt_eval_count`; seconds: wall time of the request."""

    text: str
    thinking: str
    stop_reason: str
    prompt_tokens: int
    answer_tokens: int
    seconds: float
    logprobs: tuple[TokenLogProb, ...] = ()


@dataclass(frozen=True)
class CreateStatus:
    """One progress line of /api/create; the last one has the status "success"."""

    status: str
    completed: int = 0
    total: int = 0


@dataclass(frozen=True)
class ChatRequest:
    """What is asked of a chat. None leaves a field to the server; truncation is always off.

    shift: whether the oldest text may go while an answer is written; another value than the call
    before makes the server load the model anew.
    """

    model: str
    messages: tuple[Message, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    think: bool | str | None = None
    logprobs: bool = False
    top_logprobs: int = 0
    keep_alive: str | int | None = None
    truncate: bool = False
    shift: bool | None = None

    def body(self, *, stream: bool, render_only: bool = False) -> dict[str, Any]:
        """The JSON body of /api/chat."""
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [dict(message) for message in self.messages],
            "options": dict(self.options),
            "stream": stream,
            "truncate": self.truncate,
        }
        if self.shift is not None:
            body["shift"] = self.shift
        if self.think is not None:
            body["think"] = self.think
        if self.logprobs:
            body |= {"logprobs": True, "top_logprobs": self.top_logprobs}
        if self.keep_alive is not None:
            body["keep_alive"] = self.keep_alive
        if render_only:
            body["_debug_render_only"] = True
        return body


def read_tag(entry: Mapping[str, Any]) -> Tag:
    """A line of /api/tags."""
    details = entry.get("details") or {}
    return Tag(
        name=str(entry.get("model") or entry.get("name") or ""),
        digest=str(entry.get("digest", "")).removeprefix("sha256:"),
        n_bytes=int(entry.get("size", 0)),
        family=str(details.get("family", "")),
        parameters=str(details.get("parameter_size", "")),
        quantization=str(details.get("quantization_level", "")),
        remote_host=str(entry.get("remote_host", "")),
        remote_model=str(entry.get("remote_model", "")),
        capabilities=tuple(entry.get("capabilities") or ()),
    )


def read_show(name: str, entry: Mapping[str, Any]) -> Show:
    """The answer of /api/show for `name`."""
    return Show(
        name=name,
        modelfile=str(entry.get("modelfile", "")),
        template=str(entry.get("template", "")),
        system=str(entry.get("system", "")),
        parameters=str(entry.get("parameters", "")),
        license=str(entry.get("license", "")),
        messages=tuple(entry.get("messages") or ()),
        details=entry.get("details") or {},
        model_info=entry.get("model_info") or {},
        capabilities=tuple(entry.get("capabilities") or ()),
        remote_host=str(entry.get("remote_host", "")),
        remote_model=str(entry.get("remote_model", "")),
        requires=str(entry.get("requires", "")),
    )


def read_loaded(entry: Mapping[str, Any]) -> Loaded:
    """A line of /api/ps."""
    return Loaded(
        name=str(entry.get("model") or entry.get("name") or ""),
        digest=str(entry.get("digest", "")),
        n_bytes=int(entry.get("size", 0)),
        vram_bytes=int(entry.get("size_vram", 0)),
        context_length=int(entry.get("context_length", 0)),
    )


def read_part(entry: Mapping[str, Any]) -> ChatPart:
    """A line of /api/chat."""
    message = entry.get("message") or {}
    return ChatPart(
        text=str(message.get("content", "")),
        thinking=str(message.get("thinking", "")),
        done=bool(entry.get("done", False)),
        stop_reason=str(entry.get("done_reason", "")),
        prompt_tokens=int(entry.get("prompt_eval_count", 0)),
        answer_tokens=int(entry.get("eval_count", 0)),
        logprobs=tuple(_read_logprob(item) for item in entry.get("logprobs") or ()),
    )


def read_create_status(entry: Mapping[str, Any]) -> CreateStatus:
    """A line of /api/create."""
    return CreateStatus(
        status=str(entry.get("status", "")),
        completed=int(entry.get("completed", 0)),
        total=int(entry.get("total", 0)),
    )


def whole_answer(parts: list[ChatPart], seconds: float) -> ChatAnswer:
    """The parts of one stream, the last one done, as one value."""
    last = parts[-1]
    return ChatAnswer(
        text="".join(part.text for part in parts),
        thinking="".join(part.thinking for part in parts),
        stop_reason=last.stop_reason,
        prompt_tokens=last.prompt_tokens,
        answer_tokens=last.answer_tokens,
        seconds=seconds,
        logprobs=tuple(item for part in parts for item in part.logprobs),
    )


def _read_logprob(item: Mapping[str, Any]) -> TokenLogProb:
    top = tuple(
        (str(other.get("token", "")), float(other["logprob"]), _token_bytes(other))
        for other in item.get("top_logprobs") or ()
    )
    return TokenLogProb(str(item.get("token", "")), float(item["logprob"]), _token_bytes(item), top)


def _token_bytes(item: Mapping[str, Any]) -> bytes:
    raw = item.get("bytes")
    return bytes(raw) if raw else str(item.get("token", "")).encode()
