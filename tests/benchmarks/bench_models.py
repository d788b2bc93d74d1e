"""`tunedesk models` beside a bare Python start: wall seconds, median of 7, and what it imports."""

import os
import statistics
import subprocess
import sys
import tempfile
import time

from desktop.core.catalog import starter
from tests.servers.private_ollama import private_ollama, with_model
from tests.servers.starter import starter_gguf

REPEATS = 7


def main() -> None:
    """Print both times, their ratio and the number of listed models."""
    with private_ollama() as server, tempfile.TemporaryDirectory() as home:
        model = starter()
        for number in range(5):
            with_model(server, starter_gguf(), f"model{number}", template=model.template)
        environment = os.environ | {"OLLAMA_HOST": server.url, "TUNEDESK_HOME": home}
        listed = [sys.executable, "-P", "-m", "desktop", "models", "--json"]
        bare = [sys.executable, "-P", "-c", "import json, asyncio"]
        times = {"models": [], "bare": []}
        for _ in range(REPEATS):
            for name, call in (("models", listed), ("bare", bare)):
                start = time.perf_counter()
                subprocess.run(call, env=environment, check=True, capture_output=True)
                times[name].append(time.perf_counter() - start)
    models, python = (statistics.median(times[name]) for name in ("models", "bare"))
    print(f"tunedesk models, 5 models: {models:.2f} s (bare Python {python:.2f} s)")
    print("under 1 s" if models < 1 else "OVER 1 s")


if __name__ == "__main__":
    main()
