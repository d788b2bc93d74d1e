"""What Ollama 0.24, 0.33 and 0.34 answer differently, as recorded live (FACTS 3.1, 3.2)."""

import json
import tempfile
from pathlib import Path
from typing import Any, Literal

from converters.chat_template import render as render_jinja
from converters.gguf.header import read_header
from tests.converters.gguf.llama_quantize import llama_quantize

Kind = Literal["24", "33", "34"]
NONE = "{{ .Prompt }}"
DEFAULT_NUM_CTX = 4096


def kind_of(version: str) -> Kind:
    """The class of a version text; what is no version is the newest."""
    parts = version.split("-")[0].split(".")
    if len(parts) != 3 or not all(part.isdigit() for part in parts):
        return "34"
    numbers = tuple(int(part) for part in parts)
    if numbers == (0, 0, 0) or numbers >= (0, 34, 1):
        return "34"
    return "24" if numbers < (0, 30, 0) else "33"


def refused_create(kind: Kind, body: dict[str, Any]) -> str:
    """The error text for fields that this class does not take, "" if it takes them."""
    if "typical_p" in body.get("parameters", {}) and kind == "34":
        return "typical_p is deprecated and cannot be set as a model parameter; use top_p"
    if body.get("adapters") and kind == "34":
        return "LoRA adapters are no longer supported"
    if body.get("quantize"):
        if kind == "34":
            return (
                "create-time quantization is only supported for safetensors imports; quantize "
                "GGUF models with llama.cpp tools before importing"
            )
        return "quantization is only supported for F16, BF16 and F32 models"
    return ""


def rewritten(path: Path) -> bytes:
    """The file after `llama-quantize COPY`, by llama.cpp itself."""
    with tempfile.TemporaryDirectory(prefix="tunedesk-copy-") as folder:
        return llama_quantize(path, Path(folder) / "copy", None).read_bytes()


def tag_fields(kind: Kind) -> dict[str, Any]:
    """What newer classes add to a line of /api/tags."""
    more = {"capabilities": ["completion"], "context_length": 8192, "embedding_length": 576}
    return {} if kind == "24" else more


def shown(kind: Kind, model: dict[str, Any], path: str, verbose: bool) -> dict[str, Any]:
    """The answer of /api/show."""
    template = model.get("template", NONE)
    lines = [f"FROM {path}", f'TEMPLATE """{template}"""']
    lines += [f"{key.upper()} {model[key]}" for key in ("renderer", "parser") if key in model]
    # The path stands there for a model made of an uploaded file.
    parent = {"24": path, "33": "", "34": "model.gguf"}[kind]
    answer = {
        "modelfile": "\n".join(lines),
        "template": _template_in_use(kind, model, path),
        "system": model.get("system", ""),
        "parameters": _parameter_table(model.get("parameters", {})),
        "license": "\n".join(model.get("license", ())),
        "messages": model.get("messages"),
        "details": {"family": "llama", "parent_model": parent},
        "model_info": {
            "general.architecture": "llama", "general.languages": ["en"] if kind == "34" else None,
        },
    }  # fmt: skip
    if kind != "34" or verbose:
        answer["tensors"] = [{"name": "token_embd.weight", "type": "F16", "shape": [256, 64]}]
    return answer


def rendered(kind: Kind, model: dict[str, Any], path: str, messages: list[dict[str, str]]) -> str:
    """What the model is given; a Go template is taken for ChatML, which it is in these tests."""
    template = _template_in_use(kind, model, path)
    if template == NONE and kind == "24":
        return next((m["content"] for m in reversed(messages) if m["role"] == "user"), "")
    if "{%" in template:
        return render_jinja(template, messages, add_generation_prompt=True)
    turns = [f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in messages]
    return "".join(turns) + "<|im_start|>assistant\n"


def too_long(kind: Kind, text: str, body: dict[str, Any]) -> str:
    """The error text for a prompt above num_ctx when truncation is off; a word is a token here."""
    n_ctx = body.get("options", {}).get("num_ctx", DEFAULT_NUM_CTX)
    n_tokens = len(text.split())
    if n_tokens <= n_ctx or body.get("truncate", True):
        return ""
    if kind == "24":
        return "the input length exceeds the context length"
    message = (
        f"request ({n_tokens} tokens) exceeds the available context size ({n_ctx} tokens), try "
        "increasing it"
    )
    return json.dumps({"error": {
        "code": 400, "message": message, "type": "exceed_context_size_error",
        "n_prompt_tokens": n_tokens, "n_ctx": n_ctx,
    }})  # fmt: skip


def _template_in_use(kind: Kind, model: dict[str, Any], path: str) -> str:
    """The Go template, unless a newer server finds none or more abilities in the GGUF's Jinja."""
    template = model.get("template", NONE)
    jinja = read_header(Path(path)).text("tokenizer.chat_template") if Path(path).is_file() else ""
    if kind == "24" or not jinja:
        return template
    jinja_knows_more = "tools" in jinja and ".Tools" not in template
    return jinja if template == NONE or jinja_knows_more else template


def _parameter_table(parameters: dict[str, Any]) -> str:
    """As Go's `%-30s %#v` prints it."""
    rows = [(key, item) for key, value in parameters.items()
            for item in (value if isinstance(value, list) else [value])]  # fmt: skip
    return "\n".join(f"{key:<30} {json.dumps(item)}" for key, item in rows)
