"""What is well and what is not, in a line each, with what to do. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from dashboard import units
from dashboard.health import metric_names
from dashboard.health.facts import Facts, Target
from dashboard.words import t
from measure.store import RunInfo
from servers.catalog import ENGINES

LAG_S = 3.0
"""Three scrapes missed: rates begin to have holes."""

SLOW_SCRAPE_S = 0.5
SKEW_S = 1.0
"""A scrape's length: beyond it the client's and the servers' time axes stand apart visibly."""

LITTLE_DISK = 1e9


@dataclass(frozen=True)
class Check:
    """What was looked at, how it is, and what to do if it is not well."""

    what: str
    state: Literal["well", "look", "bad"]
    found: str
    advice: str = ""


def of_prometheus(facts: Facts) -> list[Check]:
    """Targets, scrapes, metrics, rules, clock."""
    return [
        _targets(facts.targets),
        _lag(facts.targets),
        _slow(facts.targets),
        _metrics(facts),
        _rules(facts),
        _configured(facts),
        _clock(facts),
    ]


def _targets(targets: Sequence[Target]) -> Check:
    what = t("Targets")
    if not targets:
        return Check(
            what,
            "look",
            t("none"),
            t("Start an engine (`lab up vllm`): it is scraped as soon as it answers."),
        )
    down = [target for target in targets if not target.up]
    if down:
        return Check(
            what,
            "bad",
            t("1 of {all} does not answer", all=len(targets))
            if len(down) == 1
            else t("{down} of {all} do not answer", down=len(down), all=len(targets)),
            t("`lab ps` says whether it runs; `lab logs {name}` what it said last.",
              name=down[0].instance.replace('`', "'")),
        )  # fmt: skip
    every = t("1 answers") if len(targets) == 1 else t("all {all} answer", all=len(targets))
    return Check(what, "well", every)


def _lag(targets: Sequence[Target]) -> Check:
    what = t("Age of the newest sample")
    ages = [one for one in targets if one.up and math.isfinite(one.age_s)]
    if not ages:
        return Check(what, "look", t("no sample yet"))
    oldest = max(ages, key=lambda one: one.age_s)
    found = t("at most {age} ({name})", age=units.seconds(oldest.age_s), name=oldest.instance)
    if oldest.age_s > LAG_S:
        return Check(
            what,
            "bad",
            found,
            t("Scrapes were missed. The machine is too busy, or Prometheus was stopped."),
        )
    return Check(what, "well", found)


def _slow(targets: Sequence[Target]) -> Check:
    what = t("Longest scrape")
    up = [one for one in targets if one.up]
    if not up:
        return Check(what, "look", t("none"))
    slowest = max(up, key=lambda one: one.scrape_s)
    found = t("{time} ({name})", time=units.seconds(slowest.scrape_s), name=slowest.instance)
    if slowest.scrape_s > SLOW_SCRAPE_S:
        return Check(
            what,
            "look",
            found,
            t("Prometheus gives up after 1 s. Ask less of the machine while you measure."),
        )
    return Check(what, "well", found)


def _metrics(facts: Facts) -> Check:
    what = t("Metrics of the engines")
    lacking = {
        instance: metric_names.missing(ENGINES[engine], facts.names[instance])
        for instance, engine in facts.engines.items()
        if engine in ENGINES
    }
    if not lacking:
        return Check(what, "look", t("no engine answers"))
    several = {name: len(missing) for name, missing in lacking.items() if missing}
    if not several:
        return Check(what, "well", t("every one of the catalogue is there"))
    counted = ", ".join(f"{name}: {count}" for name, count in several.items())
    return Check(
        what,
        "look",
        t("not there: {counted}", counted=counted),
        t(
            "Most come with the first request, some only with a setting. The table below names "
            "them."
        ),
    )


def _rules(facts: Facts) -> Check:
    what = t("Rules")
    bad = [rule for group in facts.groups for rule in group.bad]
    if bad:
        return Check(
            what,
            "bad",
            t("{bad} cannot be evaluated", bad=len(bad)),
            t("The table below says why. Alerts that need them are silent."),
        )
    if not facts.groups:
        return Check(
            what,
            "look",
            t("none: no alert can fire"),
            t("This Prometheus was not started by the lab, or by an earlier one: `lab down "
              "prometheus`, then `lab up prometheus`."),
        )  # fmt: skip
    late = [group.name for group in facts.groups if group.took_s > group.every_s]
    if late:
        return Check(
            what,
            "look",
            t("evaluating takes longer than the interval: {groups}", groups=", ".join(late)),
            t("The machine is too busy."),
        )
    count = sum(group.rules for group in facts.groups)
    return Check(what, "well", t("{count} evaluated without fault", count=count))


def _configured(facts: Facts) -> Check:
    what = t("Configuration")
    if facts.server.configured:
        return Check(what, "well", t("loaded"))
    return Check(what, "bad", t("the last change was refused"), t("See `lab logs prometheus`."))


def _clock(facts: Facts) -> Check:
    what = t("Clock")
    found = t(
        "Prometheus's is {skew} from this machine's (±{within})",
        skew=units.seconds(facts.skew_s),
        within=units.seconds(facts.skew_within_s),
    )
    if abs(facts.skew_s) - facts.skew_within_s > SKEW_S:
        return Check(
            what,
            "bad",
            found,
            t("Set both machines' clocks by NTP: runs and metrics stand apart by so much."),
        )
    return Check(what, "well", found)


def of_runs(infos: Sequence[RunInfo], free_bytes: float | None, root: str) -> list[Check]:
    """The run store: what cannot be read, what was cut off, room on the disk."""
    bad = [info for info in infos if info.problem]
    cut = [info for info in infos if not info.problem and not info.finished and not info.running]
    what = t("Runs")
    count = t("{count} in {folder}", count=len(infos), folder=root)
    if bad:
        runs = Check(
            what,
            "look",
            t("{found}; {bad} cannot be read", found=count, bad=len(bad)),
            t("The table below says why. Delete them on the page Runs, or put their files back."),
        )
    elif cut:
        runs = Check(
            what,
            "look",
            t("{found}; 1 was cut off", found=count)
            if len(cut) == 1
            else t("{found}; {cut} were cut off", found=count, cut=len(cut)),
            t("What was kept up to then can be read."),
        )
    else:
        runs = Check(what, "well", count)
    if free_bytes is None:
        return [runs]
    found = t("{free} free", free=units.show(free_bytes, "bytes"))
    little = free_bytes < LITTLE_DISK
    advice = t("Delete or move runs: a run that cannot be written is lost.") if little else ""
    return [runs, Check(t("Disk"), "bad" if little else "well", found, advice)]
