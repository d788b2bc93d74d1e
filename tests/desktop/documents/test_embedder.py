from desktop.documents.embedder import Prefixes, prefixes_of


def test_each_model_has_the_prefixes_it_was_trained_with():
    assert prefixes_of("nomic-embed-text:latest") == Prefixes("search_query: ", "search_document: ")
    assert prefixes_of("library/embeddinggemma:300m").document == "title: none | text: "
    assert prefixes_of("qwen3-embedding:0.6b").query.endswith("\nQuery:")


def test_an_unknown_model_has_none():
    assert prefixes_of("someone/own-embedder") == Prefixes("", "")
