"""F15: a server behind a sign-in or an own certificate; the key is bound to its host."""

import logging
import os
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from converters.errors import UserError
from desktop.jobs import launcher
from desktop.jobs.folder import create_job
from desktop.jobs.spec import BaseFile, TuneJob
from desktop.ollama_api import keys
from desktop.ollama_api.client import OllamaClient
from desktop.ollama_api.errors import (
    CertificateRefused,
    OllamaError,
    OllamaRefused,
    OllamaUnreadable,
    SignInNeeded,
)
from desktop.ollama_api.keys import HostKey
from finetune.spec import TuneSpec
from tests.servers.scripted_ollama import Reply, ScriptedOllama, scripted_ollama

KEY = "sk-very-secret"


@pytest.fixture(autouse=True)
def _no_keys() -> Iterator[None]:
    keys.forget()
    yield
    keys.forget()


def _tags(run_async, url: str) -> list:
    async def ask() -> list:
        async with OllamaClient(url) as client:
            return await client.tags()

    return run_async(ask())


def _refusal(run_async, url: str, kind: type[OllamaError]) -> OllamaError:
    with pytest.raises(kind) as caught:
        _tags(run_async, url)
    return caught.value


@pytest.mark.parametrize(
    ("status", "title", "hint"),
    [
        (401, "Ollama wants a sign-in.", "Set TUNEDESK_OLLAMA_KEY to `http://127.0.0.1:"),
        (403, "Ollama wants a sign-in.", "Set TUNEDESK_OLLAMA_KEY to `http://127.0.0.1:"),
        (407, "The proxy before Ollama wants a sign-in.", "HTTPS_PROXY"),
    ],
)
def test_f15_each_status_is_one_clear_error_and_asked_once(
    status: int, title: str, hint: str, scripted: ScriptedOllama, run_async
):
    scripted.script("GET", "/api/tags", Reply((b"<html>who are you",), status))
    error = _refusal(run_async, scripted.url, SignInNeeded)
    assert error.title == title
    assert hint in error.hint
    assert len(scripted.requests) == 1


def test_f15_the_key_of_the_variable_is_shown_to_its_host_and_leaves_the_environment(
    scripted: ScriptedOllama, run_async, monkeypatch: pytest.MonkeyPatch
):
    scripted.wanted_key = KEY
    monkeypatch.setenv(keys.VARIABLE, f"{scripted.url}={KEY}")
    assert _tags(run_async, scripted.url) == []
    assert keys.VARIABLE not in os.environ


def test_f15_the_key_goes_to_no_other_host(
    scripted: ScriptedOllama, run_async, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(keys.VARIABLE, f"{scripted.url}={KEY}")
    with scripted_ollama() as other:
        _tags(run_async, other.url)
        assert "authorization" not in other.requests[0].headers
    target = Reply((), 307, headers=(("location", f"{scripted.url}/api/tags"),))
    with scripted_ollama() as other:
        other.script("GET", "/api/tags", target)
        _refusal(run_async, other.url, OllamaRefused)
    assert scripted.requests == []


def test_f15_a_refused_key_is_said_and_never_shown(
    scripted: ScriptedOllama, run_async, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):  # fmt: skip
    caplog.set_level(logging.DEBUG)
    scripted.wanted_key = "another"
    monkeypatch.setenv(keys.VARIABLE, f"{scripted.url}={KEY}")
    error = _refusal(run_async, scripted.url, SignInNeeded)
    assert error.title == "The key was not accepted."
    assert "unauthorized: Bearer ***" in error.detail
    assert KEY not in str(error) + repr(error) + caplog.text
    assert KEY not in repr(HostKey("h", KEY))
    assert len(scripted.requests) == 1


@pytest.mark.parametrize(
    ("host", "url", "fits"),
    [
        ("ollama.example.com", "https://ollama.example.com:443", True),
        ("ollama.example.com:8443", "https://ollama.example.com:8443", True),
        ("ollama.example.com:8443", "https://ollama.example.com:443", False),
        ("ollama.example.com", "https://evil-ollama.example.com:443", False),
        ("example.com", "https://ollama.example.com:443", False),
        ("ollama.example.com", "http://ollama.example.com:11434", False),
        ("http://ollama.example.com:11434", "http://ollama.example.com:11434", True),
        ("https://ollama.example.com", "https://ollama.example.com:443", True),
        ("https://ollama.example.com", "http://ollama.example.com:443", False),
        ("127.0.0.1", "http://127.0.0.1:11434", True),
    ],
)
def test_f15_what_host_a_key_is_for(host: str, url: str, fits: bool):
    assert HostKey(host, KEY).fits(url) == fits


@pytest.mark.parametrize("text", ["sk-secret", "=sk-secret", "host="])
def test_f15_a_variable_that_cannot_be_read_is_explained_without_its_content(
    text: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(keys.VARIABLE, text)
    with pytest.raises(UserError) as caught:
        keys.key_for("http://127.0.0.1:1")
    assert "HOST=KEY" in caught.value.detail
    assert "sk-secret" not in str(caught.value)


def test_f15_a_child_gets_the_keys_through_a_pipe_and_keeps_an_equals_sign(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv(keys.VARIABLE, f"https://ollama.example.com={KEY}==")
    text = keys.for_child()
    keys.forget()
    keys.read_from_parent(text.splitlines(keepends=True))
    assert keys.key_for("https://ollama.example.com:443") == f"{KEY}=="


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A self-signed certificate for 127.0.0.1, with its key in the same file."""
    openssl = shutil.which("openssl")
    if not openssl:
        pytest.skip("no openssl to make a certificate with")
    path = tmp_path / "own.pem"
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
         "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", tmp_path / "key",
         "-out", path],
        check=True, capture_output=True,
    )  # fmt: skip
    path.write_text(path.read_text() + (tmp_path / "key").read_text())
    return path


@pytest.fixture
def encrypted(certificate: Path) -> Iterator[ScriptedOllama]:
    """A server that shows it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with scripted_ollama(tls=context) as server:
        yield server


def test_f15_a_self_signed_certificate_is_refused_with_what_to_do(
    encrypted: ScriptedOllama, run_async
):
    error = _refusal(run_async, encrypted.url, CertificateRefused)
    assert error.title == "The server's certificate is not trusted."
    assert "self-signed certificate" in error.detail
    assert "SSL_CERT_FILE" in error.hint
    assert encrypted.requests == []


def test_f15_a_certificate_that_the_person_trusts_is_taken(
    encrypted: ScriptedOllama, certificate: Path, run_async, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert _tags(run_async, encrypted.url) == []


def test_f15_plain_http_at_an_encrypted_port_is_named(encrypted: ScriptedOllama, run_async):
    error = _refusal(run_async, encrypted.url.replace("https", "http"), OllamaError)
    assert error.title == "Ollama's answer was cut off."


def test_f15_encryption_at_a_plain_port_is_named(scripted: ScriptedOllama, run_async):
    error = _refusal(run_async, scripted.url.replace("http", "https"), OllamaUnreadable)
    assert "no encrypted connection could be made" in error.detail


def test_f15_a_worker_knows_the_key_and_writes_it_nowhere(
    scripted: ScriptedOllama, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    scripted.wanted_key = KEY
    monkeypatch.setenv(keys.VARIABLE, f"{scripted.url}={KEY}")
    base = BaseFile(
        model="m", path=tmp_path / "m", sha256="0" * 64, digest="", architecture="llama", n_bytes=1
    )
    tune = TuneSpec(model="m", data=tmp_path / "d.jsonl", name="n")
    job = TuneJob(
        tune=tune, engine="ollama", host=scripted.url, version="1", home=tmp_path, base=base
    )
    folder = create_job(tmp_path / "jobs", "n", job)
    with pytest.raises(UserError, match="The base model 'm' is gone"):
        launcher.run(folder, "tune", lambda _: None)
    shown = {request.headers.get("authorization") for request in scripted.requests}
    assert shown == {f"Bearer {KEY}"}
    files = [path for path in folder.root.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if KEY.encode() in path.read_bytes()]


def test_f15_the_variable_is_no_part_of_a_workers_environment():
    made = launcher.worker_environment({keys.VARIABLE: f"h={KEY}", "PATH": "/bin"})
    assert KEY not in str(made)
