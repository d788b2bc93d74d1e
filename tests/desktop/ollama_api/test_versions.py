import pytest

from desktop.ollama_api.client import OllamaClient
from desktop.ollama_api.errors import OllamaUnreadable
from desktop.ollama_api.versions import VersionTooOld, behaviour, require_import
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
    require_import(server)


def test_f13_a_version_before_0_17_1_is_refused():
    with pytest.raises(VersionTooOld) as caught:
        behaviour("0.17.0")
    assert caught.value.title == "Ollama 0.17.0 is too old."
    assert "0.17.1" in caught.value.hint


@pytest.mark.parametrize("version", ["0.24.0", "0.33.3"])
def test_f13_older_classes_cannot_take_a_model_and_name_the_version_that_can(version: str):
    with pytest.raises(VersionTooOld) as caught:
        require_import(behaviour(version))
    assert caught.value.title == f"Ollama {version} is too old."
    assert "a tuned model cannot be put in" in caught.value.detail
    assert caught.value.hint == "Update Ollama to 0.34.1 or later and try again."


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
