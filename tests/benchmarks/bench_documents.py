"""Reading PDFs: ours (order, boxes, hidden text, tables, confined child) beside plain pypdfium2.

    python -m tests.benchmarks.bench_documents

Born-digital PDFs of the data folder, the sides file by file in turn, the best of three rounds, in
CPU-seconds of parent and child together. Then two workers beside one, a long PDF, what the public
PDFs of the folder end as, and bombs.
"""

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import pypdfium2

from converters.documents.child import DocumentChild
from converters.documents.kinds import open_document
from converters.documents.outcome import Outcome
from tests.benchmarks.text_pdf import LINES, write_pdf
from tests.converters.documents import bombs

ROUNDS, WORKER_ROUNDS = 3, 3
PAGES_FLOOR, WORKERS_CEILING, REPORT_CEILING_S, LONG_CEILING_S, LONG_CEILING_MB = (
    150, 1.05, 1.5, 15, 200,
)  # fmt: skip


@dataclass
class Side:
    """One way to read a file; read gives CPU-seconds that were spent outside of this process."""

    name: str
    read: Callable[[Path], float]
    best: dict[Path, float] = field(default_factory=dict)

    def run(self, path: Path) -> None:
        """Read `path` once and keep the time if it is the best."""
        before = time.process_time()
        outside = self.read(path)
        cost = time.process_time() - before + outside
        self.best[path] = min(cost, self.best.get(path, cost))


def main() -> None:
    """Print the tables."""
    data = Path(os.environ.get("TUNEDESK_DATA", Path(__file__).parents[3] / "shared" / "data"))
    if not data.is_dir():
        print("skipped: the data folder is absent, set TUNEDESK_DATA")
        return
    print(f"pypdfium2 {version('pypdfium2')}, numpy {version('numpy')}")
    files = sorted(data.glob("uda_sample/*.pdf")) + sorted(data.glob("mmlongbench_small/*/*.pdf"))
    with DocumentChild() as child:
        _print_rates(files, child)
        _print_outcomes(data, child)
        _print_bombs(child)
    _print_workers(files)
    with TemporaryDirectory() as folder, DocumentChild() as child:
        _print_long(Path(folder) / "long.pdf", child)


def _print_rates(files: Sequence[Path], child: DocumentChild) -> None:
    sides = [
        Side("plain text", _plain),
        Side("ours", _ours),
        Side("ours, child", lambda path: _outcome(child, path).cpu_s),
    ]
    for _ in range(ROUNDS):
        for path in files:
            for side in sides:
                side.run(path)
    pages = {path: _outcome(child, path).pages for path in files}
    print(f"\n{'pages per CPU-second':36}{'pages':>6}" + "".join(f"{s.name:>13}" for s in sides))
    for path in files:
        rates = [pages[path] / side.best[path] for side in sides]
        print(f"{path.name[:35]:36}{pages[path]:6}" + "".join(f"{rate:13.0f}" for rate in rates))
    total = sum(pages.values())
    costs = [sum(side.best.values()) for side in sides]
    print(f"{'all':36}{total:6}" + "".join(f"{total / cost:13.0f}" for cost in costs))
    print(f"{'CPU-seconds to plain text':42}" + "".join(f"{c / costs[0]:12.2f}x" for c in costs))
    print(_gate("pages per CPU-second", total / costs[1], PAGES_FLOOR, is_floor=True))
    report = min(files, key=lambda path: abs(pages[path] - 100))
    cost = sides[2].best[report] * 100 / pages[report]
    print(_gate(f"100 pages of {report.name}, parsed, CPU-s", cost, REPORT_CEILING_S))


def _print_outcomes(data: Path, child: DocumentChild) -> None:
    print(f"\n{'what files end as':24}{'files':>6}{'CPU-s':>8}{'failures':>10}  outcomes")
    for name in ("awkward_pdfs", "uda_sample", "mmlongbench_small/documents"):
        outcomes = [_outcome(child, path) for path in sorted((data / name).glob("*.pdf"))]
        kinds = Counter(outcome.kind for outcome in outcomes).most_common()
        said = ", ".join(f"{kind} {count}" for kind, count in kinds)
        cost = sum(outcome.cpu_s for outcome in outcomes)
        failures = sum(bool(outcome.bug) for outcome in outcomes)
        print(f"{name[:23]:24}{len(outcomes):6}{cost:8.1f}{failures:10}  {said}")


def _print_bombs(child: DocumentChild) -> None:
    print(f"\n{'bomb':26}{'kB':>8}{'CPU-s':>8}  outcome")
    with TemporaryDirectory() as folder:
        for name, build in bombs.ALL.items():
            path = Path(folder) / "bomb.pdf"
            path.write_bytes(build())
            outcome = _outcome(child, path)
            size = path.stat().st_size / 1000
            print(f"{name:26}{size:8.0f}{outcome.cpu_s:8.1f}  {outcome.kind}")


def _print_workers(files: Sequence[Path]) -> None:
    """All files by one child, then halves by two at once: CPU-seconds of the whole tree."""
    one = two = float("inf")
    for _ in range(WORKER_ROUNDS):
        one = min(one, _together([files]))
        two = min(two, _together([files[::2], files[1::2]]))
    print(f"\none worker {one:.2f} CPU-s, two {two:.2f} CPU-s, the start of each among them")
    print(_gate("two workers to one, CPU-seconds", two / one, WORKERS_CEILING))


def _together(shares: Sequence[Sequence[Path]]) -> float:
    def work(share: Sequence[Path]) -> None:
        with DocumentChild() as child:
            for path in share:
                _outcome(child, path)

    before = sum(os.times()[:4])  # this process and the children that ended
    threads = [threading.Thread(target=work, args=(share,)) for share in shares]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(os.times()[:4]) - before


def _print_long(path: Path, child: DocumentChild) -> None:
    words = "A line of a very long book"  # 17 million characters altogether, as in R8
    write_pdf("\n".join([words] * (LINES * 10_000)), path)
    outcome = _outcome(child, path)
    print(f"\n{path.stat().st_size / 1e6:.0f} MB: {outcome.sentence}")
    print(_gate("CPU-seconds for them", outcome.cpu_s, LONG_CEILING_S))
    if child.pid is not None and (status := Path(f"/proc/{child.pid}/status")).exists():
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        peak = int(lines["VmHWM"].split()[0]) / 1024
        print(_gate("MB of memory in the child", peak, LONG_CEILING_MB))


def _plain(path: Path) -> float:
    document = pypdfium2.PdfDocument(path)
    for page in document:
        text = page.get_textpage()
        text.get_text_range()
        text.close()
        page.close()
    document.close()
    return 0.0


def _ours(path: Path) -> float:
    with open_document(path) as reader:
        for _ in reader.pages():
            pass
    return 0.0


def _outcome(child: DocumentChild, path: Path) -> Outcome:
    reading = child.read(path)
    for _ in reading:
        pass
    return reading.outcome


def _gate(what: str, figure: float, bound: float, *, is_floor: bool = False) -> str:
    holds = figure >= bound if is_floor else figure <= bound
    sign = ">=" if is_floor else "<="
    return f"{what}: {figure:.2f} ({sign} {bound:g}: {'holds' if holds else 'MISSED'})"


if __name__ == "__main__":
    main()
