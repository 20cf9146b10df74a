"""Where the Java comes from that TorchServe's server runs on: 17 or newer.

The user's (`JAVA_HOME`), PATH, else the system's package, unpacked without root.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from servers import packages, paths
from servers.errors import ServerError
from servers.locks import locked

LEAST = 17
_PACKAGES = ("openjdk-17-jre-headless", "openjdk-21-jre-headless")
_VERSION = re.compile(r'version "(?:1\.)?(\d+)')


def find() -> Path | None:
    """The `java` of `JAVA_HOME`, of PATH or unpacked before: the first that is new enough."""
    return next((java for java in _candidates() if (release(java) or 0) >= LEAST), None)


def ensure() -> Path:
    """A `java` that is new enough, unpacked from a Debian package if there is none yet.

    Raises `ServerError` telling how to get one where that is not possible.
    """
    found = find()
    if found is not None:
        return found
    with locked(_folder().with_name(".java.lock")):
        found = find()
        failures: list[str] = []
        for package in _PACKAGES:
            if found is None:
                failures.append(packages.unpack(package, _folder()))
                release.cache_clear()
                found = find()
    if found is None:
        why = next((failure for failure in failures if failure), "the package has no java in it")
        raise ServerError(_help(why))
    return found


@lru_cache(maxsize=8)
def release(java: Path) -> int | None:
    """The release of a `java`, such as 17; `None` if it does not run or does not say."""
    try:
        said = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return None
    return read_release(said.stderr)


def read_release(version: str) -> int | None:
    """The release in what `java -version` prints."""
    match = _VERSION.search(version)
    return int(match[1]) if match else None


def at_home() -> list[Path]:
    """The `java` of `JAVA_HOME`, if that is set."""
    home = os.environ.get("JAVA_HOME")
    return [Path(home).expanduser() / "bin" / "java"] if home else []


def unpacked() -> list[Path]:
    """Those that `ensure` has unpacked."""
    return sorted({java.resolve() for java in _folder().glob("usr/lib/jvm/java-*/bin/java")})


def _candidates() -> Iterator[Path]:
    yield from at_home()
    on_path = shutil.which("java", path=os.environ.get("PATH", ""))
    if on_path:
        yield Path(on_path)
    yield from unpacked()


def _folder() -> Path:
    return paths.ROOT / ".lab" / "tools" / "java"


def _help(why: str) -> str:
    seen = [f"{java} is {release(java) or 'no java'}" for java in _candidates()]
    has = f"there is {', '.join(seen)}" if seen else "there is none on PATH and no JAVA_HOME"
    return (
        f"TorchServe needs Java {LEAST} or newer: {has}, and it could not be unpacked ({why}). "
        "Install it (Debian and Ubuntu: `apt install openjdk-17-jre-headless`; macOS: `brew "
        "install openjdk@17`; conda: package `openjdk`) or set JAVA_HOME to one."
    )
