"""Text, places and verdicts of pages; what PDFium refuses. PDFs are written by hand."""

import numpy as np
import pytest

from converters.documents.page import DocumentRefused, Page
from converters.documents.pdf import PdfReader
from converters.documents.reader import LostPage
from tests.converters.documents.encryption import Revision, encrypted
from tests.converters.documents.tiny_pdf import assembled, document, image, line


def pages_of(data: bytes, password: str | None = None) -> list[Page]:
    with PdfReader(data, password) as reader:
        return [page for page in reader.pages() if isinstance(page, Page)]


def only_page(content: str, **more: object) -> Page:
    (page,) = pages_of(document([content], **more))  # type: ignore[arg-type]
    return page


def box_of(page: Page, text: str) -> list[float]:
    at = page.text.index(text)
    boxes = page.boxes[at : at + len(text)]
    return [*np.nanmin(boxes[:, :2], 0).tolist(), *np.nanmax(boxes[:, 2:], 0).tolist()]


def test_a_page_has_its_text_its_size_and_its_number() -> None:
    first, second = pages_of(document([line(72, 770, "one"), line(72, 770, "two")]))
    assert (first.number, first.text, second.number, second.text) == (1, "one\n", 2, "two\n")
    assert (first.width, first.height, first.verdict) == (595, 842, "text")


def test_boxes_count_from_the_top_left_corner() -> None:
    page = only_page(line(72, 742, "Hello", size=20))
    x0, y0, x1, y1 = box_of(page, "Hello")
    assert x0 == pytest.approx(72, abs=1)
    assert x1 == pytest.approx(72 + 0.722 * 20 + 0.556 * 20 + 2 * 0.222 * 20 + 0.556 * 20, abs=2)
    assert y0 < 100 - 12 < 100 < y1 < 110
    assert page.boxes.shape == (6, 4)
    assert np.isnan(page.boxes[5]).all()  # the line feed has no place


@pytest.mark.parametrize(
    ("rotate", "corner"),
    [(0, (72, 100)), (90, (742, 72)), (180, (523, 742)), (270, (100, 523))],
)
def test_boxes_follow_the_rotation_of_the_page(rotate: int, corner: tuple[float, float]) -> None:
    page = only_page(line(72, 742, "x", size=2.5), page=f"/Rotate {rotate}")
    assert (page.width, page.height) == ((842, 595) if rotate % 180 else (595, 842))
    x0, y0, x1, y1 = box_of(page, "x")
    assert ((x0 + x1) / 2, (y0 + y1) / 2) == pytest.approx(corner, abs=3)


def test_boxes_count_from_the_crop_box() -> None:
    page = only_page(line(72, 742, "x", size=3), page="/CropBox [50 100 550 800]")
    assert (page.width, page.height) == (500, 700)
    assert box_of(page, "x")[0] == pytest.approx(22, abs=1)
    assert box_of(page, "x")[3] == pytest.approx(58, abs=2)


def test_a_word_broken_at_the_end_of_a_line_is_made_whole() -> None:
    content = line(72, 700, "this is com-") + line(72, 685, "plete now") + line(72, 670, "end")
    page = only_page(content)
    assert page.text == "this is complete\nnow\nend\n"
    assert box_of(page, "plete")[1] > box_of(page, "com")[1] + 10


def test_a_hyphen_before_a_capital_stays() -> None:
    page = only_page(line(72, 700, "the new multi-") + line(72, 685, "DST model"))
    assert page.text == "the new multi-\nDST model\n"


def test_a_page_without_text_but_with_a_picture_is_a_scan() -> None:
    page = only_page(
        "q 595 0 0 842 0 0 cm /Im0 Do Q",
        resources="/XObject << /Im0 100000 0 R >>",
        more={100_000: image()},
    )
    assert (page.verdict, page.text) == ("scan", "")


def test_a_page_number_on_a_scan_does_not_make_it_text() -> None:
    page = only_page(
        "q 595 0 0 842 0 0 cm /Im0 Do Q" + line(290, 20, "12"),
        resources="/XObject << /Im0 100000 0 R >>",
        more={100_000: image()},
    )
    assert (page.verdict, page.text) == ("scan", "12\n")


def test_letters_drawn_as_outlines_are_a_scan_and_nothing_is_empty() -> None:
    outlines = "".join(f"{x} 100 m {x + 2} 108 l {x} 108 l f\n" for x in range(50, 450, 3))
    assert only_page(outlines).verdict == "scan"
    assert only_page("").verdict == "empty"


@pytest.mark.parametrize("revision", [2, 3, 4, 5, 6])
def test_f25_encrypted_opens_with_either_password(revision: Revision) -> None:
    data = encrypted(line(72, 700, "a secret"), revision, "user", "owner")
    for password in ("user", "owner"):
        assert [page.text for page in pages_of(data, password)] == ["a secret\n"]


@pytest.mark.parametrize(
    ("password", "title"),
    [(None, "The PDF is encrypted."), ("wrong", "The password is wrong.")],
)
def test_f25_encrypted_without_the_password_is_said_so(password: str | None, title: str) -> None:
    data = encrypted(line(72, 700, "a secret"), 6, "user", "owner")
    with pytest.raises(DocumentRefused) as caught:
        PdfReader(data, password)
    assert (caught.value.kind, caught.value.title) == ("encrypted", title)
    assert "wrong" not in caught.value.detail


@pytest.mark.parametrize("data", [b"%PDF-1.7\n", b"%PDF-1.7\n%%EOF", b"nothing"])
def test_f27_malformed_without_any_content_is_damaged(data: bytes) -> None:
    with pytest.raises(DocumentRefused) as caught:
        PdfReader(data)
    assert (caught.value.kind, caught.value.title) == ("damaged", "The PDF is damaged.")


def test_f27_malformed_pages_are_lost_and_the_others_stay() -> None:
    whole = document([line(72, 700, "first"), line(72, 700, "second"), line(72, 700, "third")])
    broken = whole.replace(b"7 0 obj\n<< /Type /Page ", b"7 0 obj\n[ /Type /Page  ")
    with PdfReader(broken) as reader:
        pages = list(reader.pages())
    assert [p.text for p in pages if isinstance(p, Page)] == ["first\n", "third\n"]
    assert pages[1] == LostPage(2)


def test_f27_malformed_truncated_file_keeps_what_is_whole() -> None:
    whole = document([line(72, 700, f"page {n}") for n in range(1, 9)])
    cut = whole[: whole.index(b"(page 6)")]
    with PdfReader(cut) as reader:
        assert reader.is_repaired
        pages = list(reader.pages())
    texts = [page.text for page in pages if isinstance(page, Page)]
    assert texts[:5] == [f"page {n}\n" for n in range(1, 6)]


def test_a_whole_file_is_not_called_repaired() -> None:
    with PdfReader(document([""])) as reader:
        assert not reader.is_repaired


def test_pages_can_begin_in_the_middle() -> None:
    with PdfReader(document(["", line(72, 700, "b"), ""])) as reader:
        numbers = [page.number for page in reader.pages(first=2)]
    assert numbers == [2, 3]


def test_a_tree_of_pages_that_bites_its_tail_ends() -> None:
    data = assembled({
        1: b"<< /Type /Catalog /Pages 2 0 R >>",
        2: b"<< /Type /Pages /Kids [2 0 R 2 0 R] /Count 3 >>",
    })  # fmt: skip
    with PdfReader(data) as reader:
        assert all(isinstance(page, LostPage) for page in reader.pages())
