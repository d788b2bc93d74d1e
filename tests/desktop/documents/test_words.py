import subprocess
import sys

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


def test_one_stemmer_is_loaded_and_it_is_the_packages():
    code = (
        "import sys; from desktop.documents.words import stem; import snowballstemmer as s;"
        "porter = s.stemmer('porter').stemWord;"
        "told = 'generalizations oscillators electricity sky dying hoping controlled'.split();"
        "assert [stem(word) for word in told] == [porter(word) for word in told]"
    )
    loaded = "import desktop.documents.words, sys; print('\\n'.join(sys.modules))"
    run = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    stemmers = [name for name in run.stdout.split() if name.endswith("_stemmer")]
    assert stemmers == ["snowballstemmer_porter_alone.porter_stemmer"]
    subprocess.run([sys.executable, "-c", code], check=True)
