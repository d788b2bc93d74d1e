"""The `llama-server` that Ollama >= 0.30 starts per model, over the prebuilt wheel xllamacpp.

Test rig only: it runs in an environment of its own (get_ollama.sh), CPU only, knows the flags that
`ollama serve` passes and names the others on standard error. xllamacpp is llama.cpp's own server.
"""

import importlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

PARENT_POLL_S = 1.0
DISCOVERY_S = 30.0


def _set(name: str, kind: Callable[[str], Any]) -> Callable[[Any, str], None]:
    """A setter for the dotted attribute `name` of the parameters."""
    *path, last = name.split(".")

    def apply(parameters: Any, text: str) -> None:
        target = parameters
        for part in path:
            target = getattr(target, part)
        setattr(target, last, kind(text))

    return apply


def _threads(parameters: Any, text: str) -> None:
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = int(text)


def _flash_attention(parameters: Any, text: str) -> None:
    kinds = _library().llama_flash_attn_type
    parameters.flash_attn_type = {
        "on": kinds.LLAMA_FLASH_ATTN_TYPE_ENABLED,
        "off": kinds.LLAMA_FLASH_ATTN_TYPE_DISABLED,
        "auto": kinds.LLAMA_FLASH_ATTN_TYPE_AUTO,
    }[text]


def _ignored(_parameters: Any, _text: str) -> None:
    """Flags about GPUs, which this rig has none of."""


WITH_VALUE: dict[str, Callable[[Any, str], None]] = {
    "--model": _set("model.path", str),
    "-m": _set("model.path", str),
    "--port": _set("port", int),
    "--host": _set("hostnames", lambda text: [text]),
    "--log-verbosity": _set("verbosity", int),
    "-c": _set("n_ctx", int),
    "-np": _set("n_parallel", int),
    "-b": _set("n_batch", int),
    "-ub": _set("n_ubatch", int),
    "-ngl": _set("n_gpu_layers", int),
    "--keep": _set("n_keep", int),
    "--chat-template": _set("chat_template", str),
    "-t": _threads,
    "--flash-attn": _flash_attention,
    "--load-mode": _ignored,
    "--split-mode": _ignored,
    "--main-gpu": _ignored,
    "--cache-type-k": _ignored,
    "--cache-type-v": _ignored,
}
SWITCHES: dict[str, Callable[[Any, str], None]] = {
    "--embedding": _set("embedding", lambda _: True),
    "--jinja": _set("use_jinja", lambda _: True),
    "--no-jinja": _set("use_jinja", lambda _: False),
    "--context-shift": _set("ctx_shift", lambda _: True),
    "--no-webui": _ignored,
    "--offline": _ignored,
    "--no-mmap": _ignored,
    "--no-log-prefix": _ignored,
    "--no-log-timestamps": _ignored,
    "--verbose": _ignored,
}


def main(arguments: list[str]) -> int:
    """Answer Ollama's two discovery calls, else serve the model until the parent is gone."""
    library = _library()
    if "--version" in arguments:
        print("version: xllamacpp", getattr(library, "__version__", "?"))
        return 0
    if "--list-devices" in arguments:
        print("Available devices:")
        return 0
    parameters = library.CommonParams()
    parameters.n_parallel = 1
    parameters.endpoint_slots = True
    parameters.ui = False
    if threads := os.environ.get("LLAMA_ARG_THREADS"):  # the real llama-server reads it too
        _threads(parameters, threads)
    if unknown := list(apply_arguments(parameters, arguments)):
        print("llama_server: ignored", unknown, file=sys.stderr, flush=True)
    stop = _stop_on_signals()
    if not parameters.model.path:
        # Ollama looks for this line when it asks which devices there are.
        print(f"system_info: n_threads = {os.cpu_count()}", file=sys.stderr, flush=True)
        stop.wait(DISCOVERY_S)
        return 0
    return _serve(library.Server(parameters), stop)


def apply_arguments(parameters: Any, arguments: Sequence[str]) -> Iterator[str]:
    """Set `parameters` as the flags say and yield the flags that are not known."""
    rest = iter(arguments)
    for flag in rest:
        if flag in WITH_VALUE:
            WITH_VALUE[flag](parameters, next(rest))
        elif flag in SWITCHES:
            SWITCHES[flag](parameters, "")
        else:
            yield flag


def _library() -> Any:
    # By name: the environment of our own checks does not have it.
    return importlib.import_module("xllamacpp")


def _stop_on_signals() -> threading.Event:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def _serve(server: Any, stop: threading.Event) -> int:
    print("llama_server: listening on", server.listening_address, file=sys.stderr, flush=True)
    parent = os.getppid()
    # A killed Ollama cannot stop its child, so the child looks for itself.
    while not stop.wait(PARENT_POLL_S) and os.getppid() == parent:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
