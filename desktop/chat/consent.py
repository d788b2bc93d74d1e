"""Before a document leaves this machine, its owner is asked, once for each host (FAULTS S8).

A model can run elsewhere in two ways: its Ollama listens on another machine, or it is a model of a
cloud that Ollama passes everything on to.
"""

from collections.abc import Callable, Sequence

from converters.errors import UserError
from desktop.core.paths import Home
from desktop.core.settings import read_settings, write_settings
from desktop.ollama_api.address import is_loopback
from desktop.ollama_api.names import parse_name

CLOUD = "ollama.com"
Ask = Callable[[str], bool | None]
"""Told the host; True to allow it, False to refuse, None where nobody can be asked."""


def destinations(url: str, model: str, remote_host: str, is_remote: bool) -> tuple[str, ...]:
    """The machines, other than this one, that a question with its passages would go to.

    url: of the Ollama server. remote_host, is_remote: as the server tells of the model.
    """
    found = [] if is_loopback(url) else [_host(url)]
    tag = parse_name(model).tag.lower()
    if is_remote or tag == "cloud" or tag.endswith("-cloud"):
        found.append(_host(remote_host) or CLOUD)
    return tuple(dict.fromkeys(found))


def require_consent(
    home: Home, hosts: Sequence[str], ask: Ask, say: Callable[[str], None] = lambda told: None
) -> None:
    """Return if documents may go to all hosts; an answer of yes is kept, one host at a time.

    say: told what was repaired. Raises UserError for a no, and where nobody can be asked.
    """
    if not hosts:
        return
    settings, repaired = read_settings(home)
    if repaired:
        say(repaired)
    for host in hosts:
        if host in settings.document_hosts:
            continue
        if not ask(host):
            raise UserError(
                f"Documents would leave this machine for {host}.",
                f"The model does not run here but on {host}, and passages of your documents go to "
                "it with each question. Nothing was sent.",
                f"Choose a model that runs here, or allow it from now on: --allow-host {host}.",
            )
        settings = settings.model_copy(
            update={"document_hosts": (*settings.document_hosts, host)}
        )
        if home.is_writable:
            write_settings(home, settings)


def _host(address: str) -> str:
    """The host and port of an address, without scheme and path."""
    return address.partition("://")[2].partition("/")[0] or address.partition("/")[0]
