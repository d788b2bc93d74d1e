"""Tensor by tensor the bytes of `llama_model_quantize`, and whole files where it only copies."""

import hashlib
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from converters.expand import expand_to_f32
from converters.gguf.header import TensorType, ValueType, read_header
from converters.gguf.mixes import FileType, mix_types
from converters.gguf.quantize import quantize
from converters.gguf.reader import GgufFile
from converters.gguf.writer import (
    TensorPlan,
    canonical_fields,
    encode_field,
    write_gguf,
)
from tests.converters.gguf.files import ARCHITECTURE
from tests.converters.gguf.llama_quantize import llama_quantize

LAYERS, WIDTH, HIDDEN, NARROW = 17, 256, 512, 288


@pytest.fixture(scope="module")
def expansion(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SmolLM2's 210 linear layers, its norms and embedding in F32."""
    output = tmp_path_factory.mktemp("oracle") / "f32.gguf"
    expand_to_f32(smollm2, output)
    return output


@pytest.mark.parametrize("file_type", ["Q4_1", "Q8_0", "Q4_K_M", "Q5_K_M", "Q6_K"])
def test_smollm2_gets_the_bytes_of_llama_cpp(
    file_type: str, expansion: Path, tmp_path: Path
) -> None:
    _assert_same_tensors(expansion, FileType[file_type], tmp_path)


@pytest.mark.parametrize("untied", [True, False], ids=["untied", "tied"])
@pytest.mark.parametrize("file_type", [*FileType], ids=lambda file_type: file_type.name)
def test_a_model_of_17_layers_gets_the_bytes_of_llama_cpp(
    file_type: FileType, untied: bool, tmp_path: Path
) -> None:
    _assert_same_tensors(_deep_model(tmp_path / "f32.gguf", untied), file_type, tmp_path)


def test_eight_experts_get_the_types_of_llama_cpp(tmp_path: Path) -> None:
    base = _deep_model(tmp_path / "f32.gguf", True, experts=8)
    for file_type in (FileType.Q4_K_M, FileType.Q5_K_M):
        _assert_same_tensors(base, file_type, tmp_path)


def test_copying_by_llama_cpp_keeps_our_file_bit_for_bit(smollm2: Path, tmp_path: Path) -> None:
    with GgufFile(smollm2) as file:
        plans = [
            TensorPlan(info.name, info.shape, info.type, partial(file.tensor_bytes, info.name))
            for info in file.header.tensors
        ]
        ours = write_gguf(tmp_path / "ours.gguf", canonical_fields(file.header), plans)
    copied = llama_quantize(ours.path, tmp_path / "copied.gguf", None)
    assert hashlib.sha256(copied.read_bytes()).hexdigest() == ours.sha256
    from_original = llama_quantize(smollm2, tmp_path / "original.gguf", None)
    assert hashlib.sha256(from_original.read_bytes()).hexdigest() == ours.sha256


def test_a_guessed_file_type_is_that_of_llama_cpp(tmp_path: Path) -> None:
    base = _deep_model(tmp_path / "f32.gguf", True)
    header = read_header(llama_quantize(base, tmp_path / "copied.gguf", None))
    assert header.number("general.file_type") == 1024
    assert canonical_fields(read_header(base))[-1].raw == encode_field(
        "general.file_type", ValueType.UINT32, 1024
    ).raw


def _assert_same_tensors(base: Path, file_type: FileType, folder: Path) -> None:
    theirs = llama_quantize(base, folder / f"{file_type.name}.gguf", file_type)
    with GgufFile(base) as source, GgufFile(theirs) as expected:
        types = mix_types(source.header, file_type)
        assert types == {info.name: info.type for info in expected.header.tensors}
        assert [*types] == [info.name for info in expected.header.tensors]
        for name, kind in types.items():
            info = source.header.tensor(name)
            values = source.values(name).reshape(info.n_rows, -1)
            assert np.array_equal(quantize(values, kind), expected.blocks(name)), name


def _deep_model(path: Path, untied: bool, experts: int = 0) -> Path:
    """A llama of 17 thin layers in F32; rows of 288 meet the fall-backs, rows of 256 do not."""
    chance = np.random.default_rng(9)
    plans = []
    for name, shape in _deep_shapes(untied, experts).items():
        values = chance.standard_normal(shape).astype(np.float32)
        plans.append(TensorPlan(name, shape, TensorType.F32, partial(memoryview, values)))
    numbers = {
        "llama.block_count": LAYERS,
        "llama.context_length": 64,
        "llama.embedding_length": WIDTH,
        "llama.feed_forward_length": HIDDEN,
        "llama.attention.head_count": 4,
        "llama.attention.head_count_kv": 2,
        "llama.vocab_size": 32,
        **({"llama.expert_count": experts, "llama.expert_used_count": 2} if experts else {}),
    }
    fields = [encode_field(key, ValueType.UINT32, number) for key, number in numbers.items()]
    epsilon = encode_field("llama.attention.layer_norm_rms_epsilon", ValueType.FLOAT32, 1e-5)
    write_gguf(path, [ARCHITECTURE, *fields, epsilon], plans)
    return path


def _deep_shapes(untied: bool, experts: int) -> dict[str, tuple[int, ...]]:
    shapes = {"token_embd.weight": (32, WIDTH), "output_norm.weight": (WIDTH,)}
    if untied:
        shapes["output.weight"] = (32, WIDTH)
    for layer in range(LAYERS):
        prefix = f"blk.{layer}"
        shapes[f"{prefix}.attn_norm.weight"] = (WIDTH,)
        shapes[f"{prefix}.attn_q.weight"] = (8, WIDTH)
        shapes[f"{prefix}.attn_k.weight"] = (4, WIDTH)
        shapes[f"{prefix}.attn_v.weight"] = (4, WIDTH)
        shapes[f"{prefix}.attn_output.weight"] = (8, NARROW)
        if experts:
            shapes[f"{prefix}.ffn_gate_inp.weight"] = (experts, WIDTH)
            shapes[f"{prefix}.ffn_down_exps.weight"] = (experts, 4, HIDDEN)
        else:
            shapes[f"{prefix}.ffn_down.weight"] = (4, HIDDEN)
        shapes[f"{prefix}.ffn_up.weight"] = (4, 48)
    return shapes
