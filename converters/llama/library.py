"""libllama's C functions, loaded once, lazily and quietly; a model file opened through them.

Knows no tokens and no scoring. Never call it on a file whose header was not checked first, and
outside of tests only in a child process: libllama aborts on damaged files.
"""

import ctypes
import importlib
import importlib.util
import sys
from collections import deque
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Self

from converters.errors import UserError

_PACKAGE = "llama_cpp"
_WARNING, _ERROR, _CONTINUED = 3, 4, 5  # ggml_log_level
_RECENT: deque[str] = deque(maxlen=40)
_KEPT: list[Any] = []  # ctypes callbacks: without a reference the process dies silently


@cache
def bindings() -> Any:
    """The module of plain C bindings, its log kept in memory instead of on stderr.

    `import llama_cpp` would run the package's Python layer, which imports diskcache, a pickle
    cache (threat T12). So the bindings are imported as a submodule of a bare package, and the
    bare package is taken away again: who imports `llama_cpp` later gets the whole of it.
    """
    loaded = sys.modules.get(_PACKAGE)
    if loaded is None:
        sys.modules[_PACKAGE] = _bare_package()
    try:
        module: Any = importlib.import_module(f"{_PACKAGE}.llama_cpp")
    finally:
        if loaded is None:
            del sys.modules[_PACKAGE]
    _keep_log(module)
    module.llama_backend_init()
    return module


def recent_log() -> list[str]:
    """The last warnings and errors that libllama logged in this process, oldest first."""
    return [line for line in "".join(_RECENT).splitlines() if line.strip()]


class NativeModel:
    """A GGUF opened by libllama: weights memory-mapped, or only the vocabulary.

    `lora` is a GGUF adapter that every context of this model then applies at full strength.
    Raises UserError when libllama refuses the file. Close it, or use it in a `with` block.
    """

    def __init__(
        self, path: Path, *, vocab_only: bool = False, lora: Path | None = None
    ) -> None:
        self._c = bindings()
        self.path = path
        params = self._c.llama_model_default_params()
        params.vocab_only = vocab_only
        params.n_gpu_layers = 0
        _RECENT.clear()
        self.pointer = self._c.llama_model_load_from_file(str(path).encode(), params)
        if not self.pointer:
            raise refused(path)
        self.vocabulary = self._c.llama_model_get_vocab(self.pointer)
        self._adapter = self._load_adapter(lora) if lora else None

    @property
    def n_parameters(self) -> int:
        """The number of weights."""
        return int(self._c.llama_model_n_params(self.pointer))

    def apply_adapter(self, context: Any) -> None:
        """Make `context` add the adapter to the weights; nothing happens without an adapter."""
        if self._adapter is None:
            return
        adapters = (self._c.llama_adapter_lora_p_ctypes * 1)(self._adapter)
        code = self._c.llama_set_adapters_lora(context, adapters, 1, (ctypes.c_float * 1)(1.0))
        if code != 0:
            raise refused(self.path, "The adapter does not fit the model.")

    def metadata(self, key: str) -> str:
        """A metadata value as libllama prints it, "" if the key is missing."""
        return _text_of(self._c.llama_model_meta_val_str, self.pointer, key.encode())

    def close(self) -> None:
        """Free the model and its adapter. Contexts must be closed before. Safe to call twice."""
        if self.pointer:
            self._c.llama_model_free(self.pointer)
        self.pointer = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _load_adapter(self, lora: Path) -> Any:
        adapter = self._c.llama_adapter_lora_init(self.pointer, str(lora).encode())
        if not adapter:
            self.close()
            raise refused(lora, "The adapter does not fit the model.")
        return adapter


def refused(path: Path, reason: str = "") -> UserError:
    """The error for a file that libllama does not take, with what it logged last."""
    said = "; ".join(recent_log()[-3:])
    detail = " ".join(part for part in (str(path) + ":", reason, said) if part)
    return UserError(
        "The model file could not be used",
        detail,
        "Check that the file is complete, or choose another model.",
    )


def _bare_package() -> ModuleType:
    found = importlib.util.find_spec(_PACKAGE)
    if found is None or found.submodule_search_locations is None:
        raise UserError(
            "The library llama.cpp is missing",
            "The Python package llama-cpp-python is not installed.",
            "Run the set-up again (make demo).",
        )
    package = ModuleType(_PACKAGE)
    package.__path__ = list(found.submodule_search_locations)
    return package


def _keep_log(module: Any) -> None:
    important = False

    def keep(level: int, text: bytes, _data: object) -> None:
        nonlocal important
        if level != _CONTINUED:
            important = level in (_WARNING, _ERROR)
        if important:
            _RECENT.append(text.decode("utf-8", "replace"))

    callback = module.llama_log_callback(keep)
    _KEPT.append(callback)
    module.llama_log_set(callback, None)


def _text_of(function: Any, pointer: Any, key: bytes) -> str:
    size = function(pointer, key, None, 0)
    if size < 0:
        return ""
    buffer = ctypes.create_string_buffer(size + 1)
    function(pointer, key, buffer, size + 1)
    return buffer.value.decode("utf-8", "replace")
