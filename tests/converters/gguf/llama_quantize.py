"""llama.cpp's own quantiser as a program: the oracle for our bytes. Run as a child by the tests.

    python -m tests.converters.gguf.llama_quantize INPUT OUTPUT FILE_TYPE|copy
"""

import ctypes
import subprocess
import sys
from pathlib import Path


def llama_quantize(source: Path, output: Path, file_type: int | None) -> Path:
    """Write `source` as llama.cpp's `file_type` (None: COPY) in a child and give `output`."""
    kind = "copy" if file_type is None else str(file_type)
    command = [sys.executable, "-m", __name__, str(source), str(output), kind]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    return output


def _main(source: str, output: str, kind: str) -> int:
    import llama_cpp  # noqa: PLC0415 - only in the child

    silent = llama_cpp.llama_log_callback(lambda *_: None)
    llama_cpp.llama_log_set(silent, ctypes.c_void_p(0))
    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.nthread = 1
    if kind == "copy":
        parameters.only_copy = True
    else:
        parameters.ftype = int(kind)
    chosen = ctypes.pointer(parameters)
    return llama_cpp.llama_model_quantize(source.encode(), output.encode(), chosen)


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))
