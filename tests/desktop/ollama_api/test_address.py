import pytest

from desktop.ollama_api.address import is_loopback, server_url


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("1.2.3.4", "http://1.2.3.4:11434"),
        (":56789", "http://127.0.0.1:56789"),
        ("1.2.3.4:56789", "http://1.2.3.4:56789"),
        ("http://1.2.3.4", "http://1.2.3.4:80"),
        ("https://1.2.3.4", "https://1.2.3.4:443"),
        ("https://example.com:56789", "https://example.com:56789"),
        ("example.com", "http://example.com:11434"),
        ("example.com:56789/path/", "http://example.com:56789/path"),
        ("[::1]", "http://[::1]:11434"),
        ("[::1]:8080/x", "http://[::1]:8080/x"),
        ("::1", "http://[::1]:11434"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("0.0.0.0:5", "http://127.0.0.1:5"),
        ("[::]:5", "http://[::1]:5"),
        (' "1.2.3.4" ', "http://1.2.3.4:11434"),
        ("example.com:99999", "http://example.com:11434"),
        ("example.com:port", "http://example.com:11434"),
    ],
)
def test_a_host_is_read_as_ollama_reads_it(host: str, url: str):
    assert server_url(host) == url


def test_the_environment_names_the_server(monkeypatch: pytest.MonkeyPatch):
    assert server_url() == "http://127.0.0.1:11434"
    monkeypatch.setenv("OLLAMA_HOST", "0.0.0.0:4000")
    assert server_url() == "http://127.0.0.1:4000"
    assert server_url("localhost:1") == "http://localhost:1"


def test_only_this_machine_is_loopback():
    assert all(map(is_loopback, ("http://127.0.0.1:1", "http://localhost:2", "http://[::1]:3/x")))
    assert not any(map(is_loopback, ("http://127.0.0.1.evil.org:1", "http://10.0.0.1:2")))
