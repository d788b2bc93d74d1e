"""The test servers are programs too: the choice of a program, its absence, the flags it takes."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.servers import private_ollama as module
from tests.servers.llama_server import apply_arguments
from tests.servers.private_ollama import find_ollama, private_ollama


def _program(path: Path) -> Path:
    path.parent.mkdir(parents=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def empty(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine without any Ollama; the folder that is its cache."""
    monkeypatch.delenv("TUNEDESK_TEST_OLLAMA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    return tmp_path / "cache" / "tunedesk-test"


def test_the_named_one_goes_before_the_newest_cached_before_the_path(
    empty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    assert find_ollama() is None
    on_path = _program(tmp_path / "path" / "ollama")
    assert find_ollama() == on_path
    _program(empty / "ollama-0.9.9" / "bin" / "ollama")
    newest = _program(empty / "ollama-0.34.4" / "bin" / "ollama")
    assert find_ollama() == newest
    named = _program(tmp_path / "named" / "ollama")
    monkeypatch.setenv("TUNEDESK_TEST_OLLAMA", str(named))
    assert find_ollama() == named


@pytest.mark.usefixtures("empty")
def test_a_missing_server_is_a_failure_in_ci_and_a_skip_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="run tests/servers/get_ollama.sh"):
        private_ollama().__enter__()
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no Ollama for the live tests"):
        private_ollama().__enter__()


def test_a_program_that_does_not_start_is_told_with_its_log(tmp_path: Path):
    program = tmp_path / "ollama"
    program.write_text("#!/bin/sh\necho the reason\nexit 1\n")
    program.chmod(0o755)
    with pytest.raises(RuntimeError, match="did not start: the reason"), private_ollama(
        binary=program
    ):
        pass


def test_the_server_sees_neither_the_users_store_nor_a_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("OLLAMA_ORIGINS", "*")
    monkeypatch.setenv("ALL_PROXY", "http://proxy")
    seen = module._environment(tmp_path, tmp_path / "m", 1234, {"OLLAMA_DEBUG": "1"})
    assert "OLLAMA_ORIGINS" not in seen
    assert "ALL_PROXY" not in seen
    assert seen["OLLAMA_HOST"] == "127.0.0.1:1234"
    assert seen["HOME"] == str(tmp_path)
    assert seen["https_proxy"] == "http://127.0.0.1:9"
    assert seen["OLLAMA_DEBUG"] == "1"


def test_the_flags_of_ollama_serve_are_understood_and_others_named():
    parameters = SimpleNamespace(
        model=SimpleNamespace(path=""), cpuparams=SimpleNamespace(n_threads=0),
        cpuparams_batch=SimpleNamespace(n_threads=0),
    )  # fmt: skip
    line = (
        "--model m.gguf --port 5 --host 127.0.0.1 --no-webui --offline -c 4096 -np 1 -b 512 "
        "-ub 256 -t 2 --log-verbosity 3 --no-jinja --chat-template chatml --context-shift "
        "--keep 4 --load-mode x --new-flag --embedding"
    )
    assert list(apply_arguments(parameters, line.split())) == ["--new-flag"]
    assert (parameters.model.path, parameters.port, parameters.hostnames) == (
        "m.gguf", 5, ["127.0.0.1"],
    )  # fmt: skip
    assert (parameters.n_ctx, parameters.n_batch, parameters.n_ubatch) == (4096, 512, 256)
    assert (parameters.cpuparams.n_threads, parameters.cpuparams_batch.n_threads) == (2, 2)
    assert (parameters.use_jinja, parameters.chat_template) == (False, "chatml")
    assert (parameters.ctx_shift, parameters.n_keep, parameters.embedding) == (True, 4, True)
