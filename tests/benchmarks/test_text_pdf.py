import re
from pathlib import Path

import pypdfium2

from tests.benchmarks.text_pdf import write_pdf


def test_every_page_shows_the_spans_that_its_layout_names(tmp_path: Path):
    text = "\n".join(f"{at}. βeta – “quoted” 戦場 " + "word " * (at % 40) for at in range(150))
    layout = write_pdf(text, tmp_path / "a.pdf")
    with pypdfium2.PdfDocument(tmp_path / "a.pdf") as pdf:
        shown = [page.get_textpage().get_text_range() for page in pdf]
    assert len(shown) == len(layout.pages) > 2
    for lines, page in zip(layout.pages, shown, strict=True):
        wanted = " ".join(text[start:end] for start, end in lines)
        assert re.findall(r"\w+", page) == re.findall(r"\w+", wanted)


def test_a_span_over_a_page_break_is_on_both_pages(tmp_path: Path):
    text = "\n".join(f"line {at}" for at in range(120))
    layout = write_pdf(text, tmp_path / "a.pdf")
    assert layout.pages_of(text.index("line 0"), 6) == [1]
    assert layout.pages_of(text.index("line 57"), text.index("line 59")) == [1, 2]
    assert layout.pages_of(text.index("line 116"), len(text)) == [3]
