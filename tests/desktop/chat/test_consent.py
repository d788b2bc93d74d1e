"""No document leaves the machine before its owner was asked, once for each host (FAULTS S8)."""

import json
from pathlib import Path

import pytest

from converters.errors import UserError
from desktop.chat.consent import destinations, require_consent
from desktop.core.paths import Home

HERE, THERE = "http://127.0.0.1:11434", "https://gpu.example.org:443/ollama"


@pytest.mark.parametrize(
    ("url", "model", "remote_host", "is_remote", "hosts"),
    [
        (HERE, "smollm2:135m", "", False, ()),
        ("http://[::1]:11434", "smollm2:135m", "", False, ()),
        (THERE, "smollm2:135m", "", False, ("gpu.example.org:443",)),
        (HERE, "gpt-oss:120b-cloud", "https://ollama.com:443", True, ("ollama.com:443",)),
        (HERE, "gpt-oss:120b-cloud", "", False, ("ollama.com",)),
        (HERE, "kimi:cloud", "", True, ("ollama.com",)),
        (HERE, "mine", "", True, ("ollama.com",)),
        (THERE, "x:cloud", "ollama.com", True, ("gpu.example.org:443", "ollama.com")),
    ],
)
def test_where_a_question_goes(url, model, remote_host, is_remote, hosts):
    assert destinations(url, model, remote_host, is_remote) == hosts


def test_yes_is_asked_once_for_each_host_and_kept(tmp_path: Path):
    home, asked = Home(tmp_path), list[str]()

    def yes(host: str) -> bool:
        asked.append(host)
        return True

    require_consent(home, ("a.org", "b.org"), yes)
    require_consent(home, ("a.org", "b.org"), yes)
    require_consent(home, ("c.org",), yes)
    assert asked == ["a.org", "b.org", "c.org"]
    kept = json.loads((tmp_path / "settings.json").read_text())
    assert kept["document_hosts"] == ["a.org", "b.org", "c.org"]


@pytest.mark.parametrize("answer", [False, None])
def test_without_a_yes_nothing_goes_and_nothing_is_kept(tmp_path: Path, answer):
    with pytest.raises(UserError) as refused:
        require_consent(Home(tmp_path), ("a.org",), lambda host: answer)
    assert refused.value.title == "Documents would leave this machine for a.org."
    assert "Nothing was sent." in refused.value.detail
    assert "--allow-host a.org" in refused.value.hint
    assert not (tmp_path / "settings.json").exists()


def test_a_model_on_this_machine_asks_nobody(tmp_path: Path):
    require_consent(Home(tmp_path), (), lambda host: pytest.fail(host))


def test_a_damaged_file_of_settings_is_no_consent(tmp_path: Path):
    (tmp_path / "settings.json").write_text('{"version": 1, "document_hosts": ["a.org"')
    told: list[str] = []
    with pytest.raises(UserError, match="leave this machine"):
        require_consent(Home(tmp_path), ("a.org",), lambda host: None, told.append)
    assert told[0].endswith("and what was decided is asked again.")
    assert (tmp_path / "settings-damaged.json").read_text().endswith('["a.org"')


def test_settings_of_a_newer_version_are_left_alone(tmp_path: Path):
    text = '{"version": 2, "hosts": []}'
    (tmp_path / "settings.json").write_text(text)
    with pytest.raises(UserError, match="newer version"):
        require_consent(Home(tmp_path), ("a.org",), lambda host: True)
    assert (tmp_path / "settings.json").read_text() == text
