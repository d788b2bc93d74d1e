"""What the plan reads from a model's header: its widths, and which tensors an adapter touches."""

from dataclasses import dataclass

from converters.architectures import llama
from converters.gguf.header import Header, TensorInfo


@dataclass(frozen=True)
class Shape:
    """The widths of a model that memory depends on; `q` and `kv` are rows of attn_q and attn_k.

    linear: (rows, columns) of every linear layer of the blocks. outside: those of embedding and
    head. is_tied: the head is the embedding.
    """

    layers: int
    width: int
    heads: int
    q: int
    kv: int
    ff: int
    vocabulary: int
    linear: tuple[tuple[int, int], ...]
    outside: tuple[tuple[int, int], ...]
    is_tied: bool

    @property
    def linear_weights(self) -> int:
        """Weights of all linear layers of the blocks."""
        return sum(rows * columns for rows, columns in self.linear)

    @property
    def outside_weights(self) -> int:
        """Weights of embedding and head."""
        return sum(rows * columns for rows, columns in self.outside)

    @property
    def largest_linear(self) -> int:
        """Weights of the largest linear layer."""
        return max(rows * columns for rows, columns in self.linear)

    def trained_weights(self, rank: int) -> int:
        """Weights of an adapter of `rank` on all linear layers of the blocks."""
        return rank * sum(rows + columns for rows, columns in self.linear)


def shape_of(header: Header) -> Shape:
    """The model's widths, read from its tensors' shapes."""
    tensors = {info.name: info for info in header.tensors}
    q, k = tensors["blk.0.attn_q.weight"], tensors["blk.0.attn_k.weight"]
    outside = [tensors[name] for name in ("token_embd.weight", "output.weight") if name in tensors]
    return Shape(
        layers=int(header.number(f"{header.architecture}.block_count", 0)),
        width=q.row_length,
        heads=int(header.number(f"{header.architecture}.attention.head_count", 1)),
        q=q.n_rows,
        kv=k.n_rows,
        ff=tensors["blk.0.ffn_down.weight"].row_length,
        vocabulary=tensors["token_embd.weight"].n_rows,
        linear=tuple((info.n_rows, info.row_length) for info in linear_tensors(header)),
        outside=tuple((info.n_rows, info.row_length) for info in outside),
        is_tied=len(outside) == 1,
    )


def linear_tensors(header: Header) -> list[TensorInfo]:
    """The tensors that an adapter touches: all linear layers of the blocks."""
    return [info for info in header.tensors if _is_linear(info.name)]


def touched_names(header: Header) -> list[str]:
    """Their names."""
    return [info.name for info in linear_tensors(header)]


def _is_linear(name: str) -> bool:
    parts = name.split(".")
    return len(parts) == 4 and parts[0] == "blk" and parts[2] in llama.BLOCK_LINEAR
