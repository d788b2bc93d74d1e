import pytest

from desktop.ollama_api.client import OllamaClient
from desktop.ollama_api.errors import OllamaUnreadable
from desktop.ollama_api.versions import VersionTooOld, behaviour
from tests.servers.scripted_ollama import Reply, ScriptedOllama


@pytest.mark.parametrize(
    ("version", "kind"),
    [
        ("0.17.1", "24"), ("0.24.0", "24"), ("0.29.9", "24"), ("0.30.0", "33"), ("0.33.3", "33"),
        ("0.34.0", "33"), ("0.34.1", "34"), ("0.34.4", "34"), ("0.34.4-rc1", "34"), ("1.0.0", "34"),
        ("v0.40.2+build", "34"),
    ],
)  # fmt: skip
def test_f13_each_version_has_its_class(version: str, kind: str):
    assert behaviour(version).kind == kind
    assert behaviour(version).note == ""


@pytest.mark.parametrize("version", ["0.0.0", "nightly", "0.34", ""])
def test_f13_an_unknown_version_counts_as_newest_and_says_so(version: str):
    server = behaviour(version)
    assert server.kind == "34"
    assert server.note == (
        f"Ollama reports the version {version!r}; it is treated like 0.34.1 or later."
    )


def test_f13_a_version_before_0_17_1_is_refused():
    with pytest.raises(VersionTooOld) as caught:
        behaviour("0.17.0")
    assert caught.value.title == "Ollama 0.17.0 is too old."
    assert "0.17.1" in caught.value.hint


@pytest.mark.parametrize(
    ("version", "copies", "reads_jinja", "advice"),
    [
        ("0.24.0", 1, False, "does not use the chat templates inside model files; 0.30.0"),
        ("0.33.3", 3, True, "needs three times the file's size. 0.34.1 and later do not."),
        ("0.34.4", 1, True, ""),
    ],
)
def test_f13_what_each_class_needs_and_lacks(
    version: str, copies: int, reads_jinja: bool, advice: str
):
    server = behaviour(version)
    assert server.import_copies == copies
    assert server.reads_jinja == reads_jinja
    assert advice in server.advice
    assert bool(server.advice) == bool(advice)


def test_f13_only_the_newest_class_refuses_typical_p():
    refusing = [v for v in ("0.24.0", "0.33.3", "0.34.4")
                if "typical_p" in behaviour(v).dropped_parameters]  # fmt: skip
    assert refusing == ["0.34.4"]


@pytest.mark.parametrize("version", ["0.17.0", "0.24.0", "0.33.3", "0.34.4", "0.0.0", "garbage"])
def test_f13_the_version_comes_over_the_wire(version: str, scripted: ScriptedOllama, run_async):
    scripted.version = version

    async def ask() -> str:
        async with OllamaClient(scripted.url) as client:
            return await client.version()

    assert run_async(ask()) == version


def test_f13_another_server_at_the_address_is_named(scripted: ScriptedOllama, run_async):
    scripted.script("GET", "/api/version", Reply((b"<html>nginx</html>",)))

    async def ask() -> str:
        async with OllamaClient(scripted.url) as client:
            return await client.version()

    with pytest.raises(OllamaUnreadable, match="not one of Ollama's.*<html>nginx"):
        run_async(ask())
