"""The report of a soak: JSON for machines, a page for people, both with machine and commit."""

import os
import platform
import statistics
import subprocess
from pathlib import Path

import msgspec

from tests.soak.soak_run import Ran

BACK_S_MAX = 60.0
"""With a broker that is down for seconds, a member whose session has to run out, and a machine that is busy."""
GROWTH_MAX = 1.15
DESCRIPTORS_MORE_MAX = 10
TREE = Path(__file__).resolve().parents[2]


def problems_of(ran: Ran) -> list[str]:
    """What is not as it should be."""
    found = [f"{kind}: {count}" for kind, count in ran.anomalies.items() if count]
    found += [f"{it.kind}: back after {it.back_s} s" for it in ran.faults if it.back_s > BACK_S_MAX]
    if ran.ends["steady"]:
        found.append(f"the worker that nobody killed ended: {ran.ends['steady']}")
    first, last = _quarters(ran.rss_mb)
    if last > GROWTH_MAX * first:
        found.append(f"memory grew from {first:.0f} to {last:.0f} MB")
    first, last = _quarters(ran.descriptors)
    if last > first + DESCRIPTORS_MORE_MAX:
        found.append(f"descriptors grew from {first:.0f} to {last:.0f}")
    return found


def write_report(ran: Ran, directory: Path) -> str:
    """Write last-run.json and last-run.md; returns the page."""
    facts = {
        "machine": _machine(),
        "commit": _commit(),
        "problems": problems_of(ran),
        **msgspec.to_builtins(ran),
    }
    (directory / "last-run.json").write_bytes(
        msgspec.json.format(msgspec.json.encode(facts), indent=1) + b"\n"
    )
    page = _page(ran)
    (directory / "last-run.md").write_text(page)
    return page


def _page(ran: Ran) -> str:
    rss, descriptors = _quarters(ran.rss_mb), _quarters(ran.descriptors)
    lines = [
        "# Last soak",
        "",
        (
            f"{ran.minutes:g} minutes on {_machine()}, commit {_commit()}, seed {ran.seed}. Repeat: `make soak "
            f'ARGS="--minutes {ran.minutes:g} --seed {ran.seed}"`.'
        ),
        "",
        (
            f"Two workers, a primary Redis with two replicas and three sentinels, one broker. Load {ran.rate:g} inputs/s and twenty "
            f"ticks of prices/s; two workers applied a burst at {ran.capacity:g} inputs/s, so that is {ran.rate / ran.capacity:.0%} of what they bear."
        ),
        "",
        "| fault | times | back after, s (median, worst) |",
        "|---|---|---|",
    ]
    kinds = sorted({it.kind for it in ran.faults})
    for kind in kinds:
        took = [it.back_s for it in ran.faults if it.kind == kind]
        lines.append(f"| {kind} | {len(took)} | {statistics.median(took):g}, {max(took):g} |")
    lines += [
        "",
        "Back: from the begin of the fault, its own duration included, until every shard has applied later inputs.",
        "",
        "| anomaly | count |",
        "|---|---|",
        *(f"| {kind} | {count} |" for kind, count in ran.anomalies.items()),
        "",
        f"Of {ran.inputs} inputs, {ran.accounts} accounts, {ran.events} events ({ran.repeats} published again, as they may be).",
        "",
        f"The worker that was not killed: memory {rss[0]:.0f} -> {rss[1]:.0f} MB, descriptors {descriptors[0]:g} -> {descriptors[1]:g} "
        f"(medians of the second and the last quarter of {len(ran.rss_mb)} looks). Processes ended: "
        + ", ".join(f"{name} {len(ends)} times" for name, ends in ran.ends.items())
        + ".",
        "",
        "Problems: " + ("; ".join(problems_of(ran)) or "none") + ".",
    ]
    return "\n".join(lines) + "\n"


def _quarters(values: list[float] | list[int]) -> tuple[float, float]:
    """Medians of the second and the last quarter: the first is the start."""
    quarter = max(1, len(values) // 4)
    return statistics.median(values[quarter : 2 * quarter] or values), statistics.median(values[-quarter:])


def _machine() -> str:
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    kernel = ".".join(platform.release().split(".")[:2])
    return f"{os.cpu_count()} cores of {model}, {memory_gb:.0f} GB, {platform.system()} {kernel}, Python {platform.python_version()}"


def _commit() -> str:
    said = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=TREE, capture_output=True, text=True, check=False
    )
    return said.stdout.strip() or "unknown"
