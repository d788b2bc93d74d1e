"""Records as sentences, twenty a page."""

import pytest

from converters.documents.csv import CsvReader, separator_of


def texts(data: str) -> list[str]:
    with CsvReader(data.encode()) as reader:
        return [page.text for page in reader.pages()]


@pytest.mark.parametrize("separator", list(",;\t|"))
def test_a_record_is_a_line_of_names_and_values(separator: str) -> None:
    data = "name,city,since\nAda,London,1815\nEmmy,Erlangen,\n".replace(",", separator)
    assert texts(data) == ["name: Ada; city: London; since: 1815\nname: Emmy; city: Erlangen\n"]


def test_quoted_cells_keep_separators_and_lose_line_feeds() -> None:
    data = 'name,note\nAda,"first, then\nsecond"\n'
    assert texts(data) == ["name: Ada; note: first, then second\n"]


def test_a_file_without_a_header_keeps_its_first_record() -> None:
    assert texts("1,2,3\n4,5,6\n") == ["1; 2; 3\n4; 5; 6\n"]


def test_short_and_long_records_are_kept() -> None:
    assert texts("a,b\n1\n1,2,3\n\n") == ["a: 1\na: 1; b: 2; 3\n"]


def test_record_41_is_on_page_3() -> None:
    data = "number,name\n" + "".join(f"{n},row\n" for n in range(1, 51))
    with CsvReader(data.encode()) as reader:
        pages = list(reader.pages())
        assert [page.number for page in reader.pages(first=3)] == [3]
    assert [page.text.count("\n") for page in pages] == [20, 20, 10]
    assert pages[2].text.startswith("number: 41; name: row\n")


def test_an_endless_quote_is_counted_and_the_rest_read() -> None:
    data = "a,b\n1,2\n" + '3,"' + "x" * (2**20 + 100) + '\n4,5\n'
    with CsvReader(data.encode()) as reader:
        list(reader.pages())
        assert reader.replaced > 0


def test_a_comma_in_prose_does_not_beat_the_real_separator() -> None:
    assert separator_of(["a;b;c\n", "one, two;x;y\n", "three;four, five, six;z\n"]) == ";"
