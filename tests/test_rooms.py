"""Who may import whom, proven in fresh interpreters: what import-linter cannot see."""

import subprocess
import sys

import pytest

_PROBE = "import sys; {code}; print(' '.join(sorted({{m.split('.')[0] for m in sys.modules}})))"


def _modules_after(code: str) -> set[str]:
    run = subprocess.run(
        [sys.executable, "-c", _PROBE.format(code=code)], capture_output=True, text=True, check=True
    )
    return set(run.stdout.split())


@pytest.mark.parametrize("code", [
    "from desktop.cli import build_app; build_app(['models'])",
    "from desktop.cli import build_app; build_app(['doctor'])",
    "from desktop.cli import build_app; build_app(['chat'])",
    "import converters.gguf.header",
])
def test_quick_commands_load_neither_torch_nor_numpy_nor_qt(code):
    assert not _modules_after(code) & {"torch", "numpy", "PySide6", "transformers", "llama_cpp"}


def test_no_command_loads_torch_or_qt_into_its_own_process():
    code = "from desktop.cli import COMMANDS, build_app; build_app(list(COMMANDS))"
    assert not _modules_after(code) & {"torch", "PySide6", "transformers", "peft", "bitsandbytes"}


def test_specification_plan_data_and_tasks_need_no_torch():
    code = "import finetune.spec, finetune.plan, finetune.data.packing, finetune.tasks.detect"
    assert "torch" not in _modules_after(code)


def test_nothing_ever_loads_pickle_caches():
    code = (
        "import desktop.engine.worker; from converters.llama.library import bindings; bindings()"
    )
    assert "diskcache" not in _modules_after(code)
