from desktop.documents.words import stem, stems, words


def test_words_are_runs_of_letters_and_digits_in_lower_case():
    assert words("SG&A_costs, up 1,234.5% in Zürich") == [
        "sg", "a", "costs", "up", "1", "234", "5", "in", "zürich",
    ]  # fmt: skip


def test_stems_are_those_of_porter():
    # Pairs of Porter's paper of 1980.
    assert [stem(word) for word in ("caresses", "ponies", "relational", "hopping", "Plants")] == [
        "caress", "poni", "relat", "hop", "plant",
    ]  # fmt: skip
    assert stems("Purchases of PROPERTY") == ["purchas", "of", "properti"]


def test_a_ligature_of_a_pdf_is_the_word_that_one_reads():
    assert stem("ﬁnancial") == stem("financial")
