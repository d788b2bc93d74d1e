"""PEFT folders in, low-rank pairs in the GGUF's names and row order out."""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converters.adapter import read_adapter, write_gguf_adapter
from converters.architectures import llama
from converters.errors import UserError
from converters.gguf.header import Header, TensorType, read_header
from converters.gguf.reader import GgufFile
from converters.merge import delta
from tests.converters.peft_folders import linear_tensors, module_of, random_tensors, write_folder
from tests.converters.small_models import HEADS, made_model

Q = "blk.0.attn_q.weight"
Q_A = f"{module_of(Q)}.lora_A.weight"
Q_B = f"{module_of(Q)}.lora_B.weight"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_model(tmp_path_factory.mktemp("base") / "base.gguf", TensorType.Q4_K)


@pytest.fixture(scope="module")
def header(base: Path) -> Header:
    return read_header(base)


@pytest.fixture
def tensors(base: Path) -> dict[str, np.ndarray]:
    return random_tensors(base, [Q, "blk.0.ffn_down.weight"])


def _refused(folder: Path, header: Header) -> str:
    with pytest.raises(UserError) as raised:
        read_adapter(folder, header)
    return str(raised.value)


def test_all_seven_linear_layers_are_found_under_their_gguf_names(
    base: Path, header: Header, tmp_path: Path
) -> None:
    names = linear_tensors(base)
    adapter = read_adapter(write_folder(tmp_path, random_tensors(base, names)), header)
    assert len(names) == 7
    assert adapter.touched == set(names)


def test_query_rows_come_out_in_the_files_order(
    header: Header, tensors: dict[str, np.ndarray], tmp_path: Path
) -> None:
    adapter = read_adapter(write_folder(tmp_path, tensors), header)
    module_rows = 2.0 * tensors[Q_B] @ tensors[Q_A]
    assert np.allclose(delta(adapter.tensors[Q]), llama.to_file_rows(module_rows, HEADS))
    assert not np.allclose(delta(adapter.tensors[Q]), module_rows)


@pytest.mark.parametrize(
    ("config", "scale"),
    [
        ({}, 32 / 16),
        ({"lora_alpha": 8}, 0.5),
        ({"use_rslora": True}, 32 / 4),
        ({"alpha_pattern": {"q_proj": 4}}, 4 / 16),
        ({"alpha_pattern": {r"layers\.0\.self_attn\..*": 4}}, 4 / 16),
        ({"alpha_pattern": {"layers.1.self_attn.q_proj": 4}}, 32 / 16),
        ({"r": 8, "rank_pattern": {"q_proj": 16, "down_proj": 16}}, 32 / 16),
        ({"r": 8, "rank_pattern": {".*proj": 16}, "use_rslora": True}, 32 / 4),
    ],
)
def test_the_scale_follows_every_rule_of_peft(
    header: Header, tensors: dict[str, np.ndarray], tmp_path: Path, config: dict, scale: float
) -> None:
    adapter = read_adapter(write_folder(tmp_path, tensors, **config), header)
    assert adapter.tensors[Q].scale == scale


def test_scales_equal_those_of_peft_itself(
    header: Header, tensors: dict[str, np.ndarray], tmp_path: Path
) -> None:
    """PEFT builds the same two modules and is asked for its own factor."""
    torch = pytest.importorskip("torch")
    from peft import LoraConfig, get_peft_model  # noqa: PLC0415 - dear, and only here

    class Block(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.self_attn = torch.nn.ModuleDict({"q_proj": torch.nn.Linear(256, 256)})
            self.mlp = torch.nn.ModuleDict({"down_proj": torch.nn.Linear(512, 256)})

    settings: dict[str, Any] = {
        "r": 16, "lora_alpha": 24, "use_rslora": True, "alpha_pattern": {"q_proj": 7},
    }  # fmt: skip
    with torch.device("meta"):
        model = torch.nn.ModuleDict({"layers": torch.nn.ModuleList([Block()])})
        peft = get_peft_model(
            model, LoraConfig(target_modules=["q_proj", "down_proj"], **settings)
        )
    theirs = {
        name.split(".")[-1]: module.scaling["default"]
        for name, module in peft.named_modules()
        if hasattr(module, "scaling")
    }
    ours = read_adapter(write_folder(tmp_path, tensors, **settings), header).tensors
    assert ours[Q].scale == theirs["q_proj"]
    assert ours["blk.0.ffn_down.weight"].scale == theirs["down_proj"]


def test_half_precision_weights_are_read_exactly(
    header: Header, tensors: dict[str, np.ndarray], tmp_path: Path
) -> None:
    upper = {key: (values.view(np.uint32) >> 16).astype("<u2") for key, values in tensors.items()}
    table, data = {}, b""
    for key, half in upper.items():
        span = [len(data), len(data) + half.nbytes]
        table[key] = {"dtype": "BF16", "shape": half.shape, "data_offsets": span}
        data += half.tobytes()
    front = json.dumps(table).encode()
    path = write_folder(tmp_path, tensors) / "adapter_model.safetensors"
    path.write_bytes(struct.pack("<Q", len(front)) + front + data)
    expected = (upper[Q_A].astype(np.uint32) << 16).view(np.float32)
    assert np.array_equal(read_adapter(tmp_path, header).tensors[Q].a, expected)


def test_a_module_that_was_never_trained_is_not_touched(
    header: Header, tensors: dict[str, np.ndarray], tmp_path: Path
) -> None:
    tensors[Q_B][:] = 0
    adapter = read_adapter(write_folder(tmp_path, tensors), header)
    assert adapter.touched == {"blk.0.ffn_down.weight"}


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"use_dora": True}, "use_dora"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"bias": "all"}, "bias"),
        ({"lora_bias": True}, "lora_bias"),
        ({"fan_in_fan_out": True}, "fan_in_fan_out"),
        ({"init_lora_weights": "pissa"}, "pissa"),
        ({"use_tomorrows_variant": True}, "use_tomorrows_variant"),
        ({"loftq_config": {"bits": 4}}, "loftq_config"),
        ({"trainable_token_indices": [1]}, "trainable_token_indices"),
        ({"peft_type": "IA3"}, "IA3"),
        ({"r": None}, "rank"),
        ({"r": 0}, "rank 0"),
        ({"alpha_pattern": {"(": 1}}, 'pattern "("'),
    ],
)
def test_what_cannot_be_merged_is_refused_by_name(
    header: Header, tensors: dict[str, np.ndarray], tmp_path: Path, config: dict, words: str
) -> None:
    assert words in _refused(write_folder(tmp_path, tensors, **config), header)


def test_a_wrong_shape_names_the_tensor_and_both_shapes(
    header: Header, tensors: dict[str, np.ndarray], tmp_path: Path
) -> None:
    tensors[Q_A] = np.ascontiguousarray(tensors[Q_A][:, :-1])
    text = _refused(write_folder(tmp_path, tensors), header)
    assert "self_attn.q_proj.lora_A" in text
    assert "(16, 255)" in text
    assert "(16, 256)" in text


def test_a_rank_that_contradicts_the_configuration_is_refused(
    header: Header, tensors: dict[str, np.ndarray], tmp_path: Path
) -> None:
    text = _refused(write_folder(tmp_path, tensors, r=8), header)
    assert "mlp.down_proj.lora_A has the shape (16, 512)" in text
    assert "(8, 512)" in text


def test_a_layer_that_the_base_lacks_is_named(
    header: Header, tensors: dict[str, np.ndarray], tmp_path: Path
) -> None:
    moved = {key.replace("layers.0", "layers.7"): value for key, value in tensors.items()}
    text = _refused(write_folder(tmp_path, moved), header)
    assert "blk.7." in text
    assert "does not belong to this base" in text


def test_values_that_are_not_finite_name_the_tensor(
    header: Header, tensors: dict[str, np.ndarray], tmp_path: Path
) -> None:
    tensors[Q_B][3, 4] = np.nan
    tensors[Q_B][5, 6] = np.inf
    text = _refused(write_folder(tmp_path, tensors), header)
    assert f"{Q_B} has 2 values that are not finite" in text


def test_a_half_pair_names_the_missing_side(
    header: Header, tensors: dict[str, np.ndarray], tmp_path: Path
) -> None:
    del tensors[Q_B]
    assert "self_attn.q_proj.lora_B is missing" in _refused(write_folder(tmp_path, tensors), header)


@pytest.mark.parametrize(
    "key",
    [
        "base_model.model.model.embed_tokens.lora_embedding_A",
        "base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector",
        "base_model.model.lm_head.weight",
        "base_model.model.lm_head.lora_A.weight",
    ],
)
def test_tensors_beside_the_linear_layers_are_refused_by_name(
    header: Header, tensors: dict[str, np.ndarray], tmp_path: Path, key: str
) -> None:
    tensors[key] = np.ones((4, 4), np.float32)
    assert key.removesuffix(".weight").removeprefix("base_model.model.") in _refused(
        write_folder(tmp_path, tensors), header
    )


def test_no_truncation_of_the_weights_is_taken_for_an_adapter(
    header: Header, tensors: dict[str, np.ndarray], tmp_path: Path
) -> None:
    path = write_folder(tmp_path, tensors) / "adapter_model.safetensors"
    whole = path.read_bytes()
    for length in [0, 4, 8, 100, len(whole) // 2, len(whole) - 1]:
        path.write_bytes(whole[:length])
        assert "adapter_model.safetensors cannot be read" in _refused(tmp_path, header)


@pytest.mark.parametrize("text", ["", "[]", "{", "\0", '{"r": "x", "lora_alpha": []}'])
def test_a_damaged_configuration_is_a_clear_error(
    header: Header, tensors: dict[str, np.ndarray], tmp_path: Path, text: str
) -> None:
    (write_folder(tmp_path, tensors) / "adapter_config.json").write_text(text)
    assert "The adapter is damaged" in _refused(tmp_path, header)


def test_folders_without_an_adapter_say_what_is_missing(header: Header, tmp_path: Path) -> None:
    assert "There is no adapter_config.json" in _refused(tmp_path, header)
    (tmp_path / "adapter_config.json").write_text('{"r": 1, "lora_alpha": 1}')
    assert "There is no adapter_model.safetensors" in _refused(tmp_path, header)


def test_the_gguf_adapter_holds_the_scale_in_b_and_alpha_zero(
    header: Header, tensors: dict[str, np.ndarray], tmp_path: Path
) -> None:
    adapter = read_adapter(write_folder(tmp_path, tensors, use_rslora=True), header)
    write_gguf_adapter(tmp_path / "lora.gguf", adapter, header)
    with GgufFile(tmp_path / "lora.gguf") as file:
        assert file.header.number("adapter.lora.alpha") == 0.0
        assert file.header.text("general.type") == "adapter"
        assert file.header.text("adapter.type") == "lora"
        product = file.values(f"{Q}.lora_b") @ file.values(f"{Q}.lora_a")
    assert np.allclose(product, delta(adapter.tensors[Q]), rtol=1e-4, atol=1e-7)
