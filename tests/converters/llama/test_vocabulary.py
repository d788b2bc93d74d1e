"""Ids and texts of the real SmolLM2 vocabulary."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

import resources
from converters.gguf.header import read_array
from converters.llama.vocabulary import Vocabulary


@pytest.fixture(scope="module")
def vocabulary(smollm2: Path) -> Iterator[Vocabulary]:
    with Vocabulary(smollm2) as opened:
        yield opened


def test_the_numbers_of_the_vocabulary(vocabulary: Vocabulary) -> None:
    assert vocabulary.n_vocab == 49152
    assert (vocabulary.bos, vocabulary.eos, vocabulary.eot) == (1, 2, 0)
    assert vocabulary.add_bos is False


def test_answers_end_on_eos_and_on_the_listed_texts(vocabulary: Vocabulary) -> None:
    texts = {vocabulary.text_of(token) for token in vocabulary.end_tokens}
    assert {"<|im_end|>", "<|endoftext|>"} <= texts
    assert vocabulary.eos in vocabulary.end_tokens


def test_special_texts_are_parsed_only_when_asked(vocabulary: Vocabulary) -> None:
    assert vocabulary.tokenize("<|im_start|>user\nhi<|im_end|>") == [1, 4093, 198, 6004, 2]
    plain = vocabulary.tokenize("<|im_end|>", parse_special=False)
    assert len(plain) > 1
    assert vocabulary.detokenize(plain) == "<|im_end|>"
    assert vocabulary.special_texts[2] == "<|im_end|>"


_TEXTS = ["", " ", " leading space", "x²³", "naïve 😀 文字", "a\x00b", "tab\t\n\r\n", "ﬁ ligature"]


@pytest.mark.parametrize("text", _TEXTS)
def test_texts_come_back_from_their_ids(vocabulary: Vocabulary, text: str) -> None:
    assert vocabulary.detokenize(vocabulary.tokenize(text)) == text


def test_control_tokens_can_be_left_out(vocabulary: Vocabulary) -> None:
    ids = vocabulary.tokenize("yes<|im_end|>")
    assert vocabulary.detokenize(ids, special=False) == "yes"


def test_a_lone_surrogate_is_an_error_and_not_another_text(vocabulary: Vocabulary) -> None:
    with pytest.raises(UnicodeEncodeError):
        vocabulary.tokenize("broken \ud800")


def test_ids_equal_those_of_another_tokenizer(vocabulary: Vocabulary, smollm2: Path) -> None:
    """Hugging Face's BPE over the file's own tokens and merges, cut as the model card says."""
    tokens = read_array(smollm2, "tokenizer.ggml.tokens")
    merges = [tuple(merge.split(" ")) for merge in read_array(smollm2, "tokenizer.ggml.merges")]
    other = Tokenizer(models.BPE({token: id for id, token in enumerate(tokens)}, merges))
    other.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False),
    ])  # fmt: skip
    texts = json.loads(resources.path("hard_strings.json").read_text("utf-8"))
    texts += [path.read_text("utf-8") for path in resources.path("general_texts").glob("*.txt")]
    assert len(texts) > 75
    for text in texts:
        expected = other.encode(text, add_special_tokens=False).ids
        assert vocabulary.tokenize(text, parse_special=False) == expected, text[:60]
