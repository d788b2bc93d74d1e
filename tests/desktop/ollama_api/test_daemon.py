import socket

import pytest

from desktop.ollama_api.client import OllamaClient
from desktop.ollama_api.daemon import OllamaStatus, ollama_status
from tests.servers.private_ollama import with_model


def _status(run_async, url: str) -> OllamaStatus:
    async def ask() -> OllamaStatus:
        async with OllamaClient(url) as client:
            return await ollama_status(client)

    return run_async(ask())


def test_f9_no_server_is_advice_and_no_error(run_async):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    status = _status(run_async, url)
    assert status.as_json() == {
        "running": False, "version": "", "host": url, "store": None, "store_readable": False,
        "store_writable": False,
    }  # fmt: skip
    assert status.advice[0].startswith("Ollama is not running.")


@pytest.mark.parametrize(
    ("version", "advice"),
    [
        ("0.17.0", "Update Ollama to 0.17.1 or later and try again."),
        ("0.24.0", "does not use the chat templates inside model files; 0.30.0 and later do."),
        ("0.33.3", "needs three times the file's size. 0.34.1 and later do not."),
        ("0.0.0", "it is treated like 0.34.1 or later"),
        ("garbage", "it is treated like 0.34.1 or later"),
    ],
)
def test_f13_an_old_server_runs_and_the_advice_says_what_is_missing(
    version: str, advice: str, scripted, run_async
):
    scripted.version = version
    status = _status(run_async, scripted.url)
    assert (status.running, status.version) == (True, version)
    assert advice in status.advice[0]
    assert "uploaded instead of linked" in status.advice[1]


@pytest.mark.ollama
def test_a_real_server_is_described(ollama_server, smollm2, run_async):
    with_model(ollama_server, smollm2, "daemon-test")
    status = _status(run_async, ollama_server.url)
    assert status == OllamaStatus(
        True, ollama_server.version, ollama_server.url, str(ollama_server.store), True, True, ()
    )
    run_async(_delete(ollama_server.url))


async def _delete(url: str) -> None:
    async with OllamaClient(url) as client:
        await client.delete("daemon-test")
