"""F2, F34: recorded texts of GPU faults become one named state each; the run goes on after it."""

from pathlib import Path
from typing import Any

import pytest
import torch

from converters.events import Event, Progress
from finetune import train
from finetune.gpu_faults import GpuFault, gpu_fault, probe
from finetune.spec import TrainSpec
from finetune.train import TrainFolders
from tests.finetune.tiny_models import tiny_model
from tests.finetune.tiny_rows import tiny_rows

MORE = (
    "\nCUDA kernel errors might be asynchronously reported at some other API call, so the "
    "stacktrace below might be incorrect.\nFor debugging consider passing CUDA_LAUNCH_BLOCKING=1."
    "\nCompile with `TORCH_USE_CUDA_DSA` to enable device-side assertions.\n"
)
UNKNOWN = (
    "CUDA unknown error - this may be due to an incorrectly set up environment, e.g. changing env "
    "variable CUDA_VISIBLE_DEVICES after program start. Setting the available devices to be zero."
)
# As reported by users of torch; the trackers' threads are pytorch#49081, #88639, accelerate#1192.
RECORDED = {
    "CUDA error: an illegal memory access was encountered" + MORE: "memory access",
    "CUDA error: unspecified launch failure" + MORE: "memory access",
    "CUDA error: device-side assert triggered" + MORE: "memory access",
    "CUDA error: the launch timed out and was terminated" + MORE: "memory access",
    "CUDA error: uncorrectable ECC error encountered" + MORE: "ecc",
    "CUDA error: unknown error" + MORE: "suspended",
    UNKNOWN: "suspended",
    "cuda runtime error (999) : unknown error at THCGeneral.cpp:50": "suspended",
    "CUDA error: no kernel image is available for execution on the device" + MORE:
        "no kernel image",
    "CUDA error: CUDA driver version is insufficient for CUDA runtime version" + MORE:
        "old driver",
    "The NVIDIA driver on your system is too old (found version 11040). Please update your GPU "
    "driver by downloading and installing a new version": "old driver",
    "CUDA error: all CUDA-capable devices are busy or unavailable" + MORE: "busy",
    "Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU": "no driver",
    "CUDA error: no CUDA-capable device is detected" + MORE: "lost",
    "Unable to determine the device handle for GPU0000:01:00.0: GPU is lost. Reboot the system to "
    "recover this GPU": "lost",
    "NVRM: Xid (PCI:0000:01:00): 79, pid=1234, GPU has fallen off the bus.": "lost",
    "CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasGemmEx`": "other",
}  # fmt: skip


@pytest.mark.parametrize(("text", "kind"), RECORDED.items(), ids=lambda value: value[:40])
def test_f02_each_recorded_text_has_its_kind_and_one_next_step(text: str, kind: str) -> None:
    found = gpu_fault(RuntimeError(text), "The checkpoint of step 40 was kept.")
    assert found is not None
    assert found.kind == kind
    assert found.title.startswith("The GPU")
    assert "The checkpoint of step 40 was kept. The driver said: " in found.detail
    assert found.detail.endswith(text.splitlines()[0][:200])
    assert found.hint.endswith(".")


def test_f34_after_a_suspend_the_hint_reloads_nvidia_uvm() -> None:
    found = gpu_fault(RuntimeError(UNKNOWN))
    assert found is not None
    assert found.title == "The GPU stopped answering."
    assert "suspended" in found.detail
    assert "sudo modprobe -r nvidia_uvm && sudo modprobe nvidia_uvm" in found.hint


@pytest.mark.parametrize("error", [
    RuntimeError("mat1 and mat2 shapes cannot be multiplied (3x4 and 5x6)"),
    RuntimeError("The size of tensor a (3) must match the size of tensor b (4)"),
    ValueError("CUDA error: unknown error"),
])  # fmt: skip
def test_other_errors_are_no_fault_of_the_gpu(error: Exception) -> None:
    assert gpu_fault(error) is None


def test_the_probe_asks_nothing_of_a_processor() -> None:
    probe("cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA card")
def test_f02_a_card_that_is_not_there_is_said_before_the_model_is_loaded() -> None:
    """Torch's own error of this machine: built for CUDA, no driver."""
    if torch.version.cuda is None:
        pytest.skip("this torch was built without CUDA and says so instead")
    with pytest.raises(GpuFault) as caught:
        probe("cuda")
    assert caught.value.title == "The GPU cannot be used."
    assert "Nothing was changed." in caught.value.detail


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA card")
def test_the_probe_passes_on_a_sound_card() -> None:
    probe("cuda")


def test_f02_a_fault_mid_run_keeps_the_last_checkpoint_and_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = tiny_model(tmp_path / "tiny.gguf")
    spec = TrainSpec(
        base_path=base, form="f32", rank=4, learning_rate=5e-3, tokens_per_step=64,
        tokens_per_pass=64, epochs=2, checkpoint_steps=3,
    )  # fmt: skip

    def run(name: str) -> dict[int, float]:
        events: list[Event] = []
        (tmp_path / name).mkdir(exist_ok=True)
        folders = TrainFolders(tmp_path / name / "adapter", tmp_path / name / "checkpoints")
        try:
            train.run(spec, tiny_rows(40), (), folders, events.append, lambda: False)
        finally:
            losses = {
                event.step: event.loss for event in events
                if isinstance(event, Progress) and event.loss
            }
        return losses

    whole = run("whole")
    passes, load = 0, train.load_base

    def fail(*_: object) -> None:
        nonlocal passes
        passes += 1
        if passes == 6:
            raise RuntimeError("CUDA error: unspecified launch failure" + MORE)

    def load_failing(*arguments: Any, **named: Any) -> Any:
        model = load(*arguments, **named)
        model.model.layers[-1].register_forward_pre_hook(fail)
        return model

    monkeypatch.setattr(train, "load_base", load_failing)
    with pytest.raises(GpuFault) as caught:
        run("failing")
    assert caught.value.title == "The GPU stopped answering."
    assert "The checkpoint of step 3 was kept." in caught.value.detail
    assert run("failing") == {step: loss for step, loss in whole.items() if step > 3}
