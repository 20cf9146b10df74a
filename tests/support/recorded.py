"""What real engines said on `/metrics` (`tests/recorded/metrics`), and a Prometheus filled with it.

A recording holds two scrapes, some seconds apart. A line is `series before after`, where `-` is a
series that was not there yet; a histogram's buckets share a line, `le=before,after` each.
"""

import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "recorded" / "metrics"
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')
_LE = re.compile(r',?le="([^"]*)"')
# The lab's Prometheus scrapes each second; its rate windows span five scrapes.
SCRAPES = 10


@dataclass(frozen=True)
class Sample:
    """A series and its value at the two moments; `before` is `None` if it was not there yet."""

    name: str
    labels: Mapping[str, str]
    before: float | None
    after: float


@dataclass(frozen=True)
class Recording:
    """One engine's `/metrics`: `kind` is the engine's name in the lab, `title` what was recorded."""

    kind: str
    version: str
    title: str
    samples: tuple[Sample, ...]

    @property
    def names(self) -> set[str]:
        """Of families: those of histograms and summaries without `_bucket`, `_sum`, `_count` too."""
        found = {sample.name for sample in self.samples}
        parts = (name.rpartition("_") for name in found)
        return found | {head for head, _, tail in parts if tail in ("bucket", "sum", "count")}


def encode(kind: str, version: str, title: str, series: Iterable[tuple[str, str, str]]) -> str:
    """The text of a recording of (series, before, after), as an exposition writes them."""
    lines = [f"# {kind} | {version} | {title}"]
    buckets: dict[str, list[str]] = {}
    for name, before, after in series:
        le = _LE.search(name)
        if le is None:
            lines.append(f"{name} {_short(before)} {_short(after)}")
            continue
        rest = name.replace(le.group(0), "", 1).replace("{,", "{")
        if rest not in buckets:
            buckets[rest] = []
            lines.append(rest)
        buckets[rest].append(f"{le.group(1)}={_short(before)},{_short(after)}")
    return "\n".join(" ".join((line, *buckets.get(line, ()))) for line in lines) + "\n"


def _short(number: str) -> str:
    return number.removesuffix(".0")


def read(file: Path) -> Recording:
    """The recording in a file called `<engine>-<version>.txt`."""
    first, *lines = file.read_text(encoding="utf-8").splitlines()
    kind, version, title = first.removeprefix("# ").split(" | ")
    return Recording(kind, version, title, tuple(_samples(lines)))


def every() -> list[Recording]:
    """All recordings, by their files' names."""
    return [read(file) for file in sorted(FOLDER.glob("*.txt"))]


def _samples(lines: Iterable[str]) -> Iterator[Sample]:
    for line in lines:
        head, closed, tail = line.rpartition("}")
        words = tail.split() if closed else line.split()
        name, _, inside = head.partition("{") if closed else (words.pop(0), "", "")
        labels = dict(_LABEL.findall(inside))
        if "=" not in words[0]:
            yield Sample(name, labels, _number(words[0]), float(words[1]))
            continue
        for word in words:
            le, _, values = word.partition("=")
            before, _, after = values.partition(",")
            yield Sample(name, {**labels, "le": le}, _number(before), float(after))


def _number(text: str) -> float | None:
    return None if text == "-" else float(text)


def openmetrics(recording: Recording, ours: Mapping[str, str], end_s: int, honour: bool) -> str:
    """The recording as samples of ten scrapes that end at `end_s`, five of each moment.

    `ours` are the labels of the target. As in the lab's configuration, a label of the engine's own
    that is called alike becomes `exported_…`, unless `honour`.
    """
    lines = []
    for sample in recording.samples:
        own = sample.labels if honour else {_renamed(k, ours): v for k, v in sample.labels.items()}
        labels = {**ours, **own}
        written = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
        for i in range(SCRAPES):
            value = sample.after if i >= SCRAPES // 2 else sample.before
            if value is not None:
                lines.append(f"{sample.name}{{{written}}} {value} {end_s - SCRAPES + 1 + i}")
    return "\n".join(lines)


def _renamed(label: str, ours: Mapping[str, str]) -> str:
    return f"exported_{label}" if label in ours else label


def backfill(promtool: Path, text: str, data: Path) -> None:
    """Write the samples as blocks of a Prometheus's own store."""
    file = data.with_suffix(".txt")
    file.write_text(f"{text}\n# EOF\n", encoding="utf-8")
    argv = [promtool, "tsdb", "create-blocks-from", "openmetrics", "--quiet", file, data]
    subprocess.run(argv, check=True, capture_output=True, timeout=120)
