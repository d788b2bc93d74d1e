"""Keys for Ollama servers behind a sign-in, each bound to the host it was given for (FAULTS F15).

A key comes from TUNEDESK_OLLAMA_KEY (`HOST=KEY`), from the person at the terminal, or from the
process that started this one (its standard input). It is held in memory alone: never in a file, an
argument, a message or the environment of a child.
"""

import getpass
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field

from converters.errors import UserError
from desktop.ollama_api.address import is_loopback, server_url

VARIABLE = "TUNEDESK_OLLAMA_KEY"
HIDDEN = "***"


@dataclass(frozen=True)
class HostKey:
    """A key and the server it is for: a host (and port), or a whole URL."""

    host: str
    key: str = field(repr=False)

    def fits(self, url: str) -> bool:
        """True if the server at `url` (as `server_url` makes it) may see the key.

        A host without a scheme means https, or this machine: a key in plain text on a network
        must be asked for by `http://HOST=KEY`.
        """
        if "://" in self.host:
            return server_url(self.host) == url
        scheme, _, rest = url.partition("://")
        if scheme != "https" and not is_loopback(url):
            return False
        authority = rest.partition("/")[0].lower()
        return self.host.lower() in (authority, authority.rpartition(":")[0])


# The one place of this process; a list, for a person may use two servers in one session.
_held: list[HostKey] = []


def key_for(url: str) -> str:
    """The key for the server at `url`, "" if there is none. Raises UserError if the variable
    cannot be read."""
    _take_from_environment()
    return next((held.key for held in reversed(_held) if held.fits(url)), "")


def ask_for_key(url: str) -> bool:
    """Ask the person at the terminal for the key of this server; False without an answer."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    key = getpass.getpass(f"{url} wants a key (nothing is shown while you type): ", sys.stderr)
    if key.strip():
        _hold(url, key.strip())
    return bool(key.strip())


def for_child() -> str:
    """What a child must read to know the same keys: `HOST=KEY` lines, "" if there are none."""
    _take_from_environment()
    return "".join(f"{held.host}={held.key}\n" for held in _held)


def read_from_parent(lines: Iterable[str]) -> None:
    """Take what `for_child` of the parent wrote."""
    for line in lines:
        if line.strip():
            _read(line.strip())


def forget() -> None:
    """Forget every key of this process."""
    _held.clear()


def _take_from_environment() -> None:
    # Out of the environment, which every child of ours would inherit.
    if text := os.environ.pop(VARIABLE, "").strip():
        _read(text)


def _read(text: str) -> None:
    host, separator, key = text.partition("=")
    if not (separator and host.strip() and key.strip()):
        raise UserError(
            f"{VARIABLE} cannot be read.", "It must be HOST=KEY, with the host the key is for.",
            f"Set it like {VARIABLE}=ollama.example.com=THE-KEY.",
        )
    _hold(host.strip(), key.strip())


def _hold(host: str, key: str) -> None:
    if not (key.isascii() and key.isprintable()):
        raise UserError(
            "The key cannot be sent.", "It holds characters that are not plain ASCII.",
            "Copy the key again.",
        )
    _held.append(HostKey(host, key))
