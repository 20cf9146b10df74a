"""Where the user keeps wheels and packages of their own: pip's settings, passed on to uv.

uv reads neither pip's environment variables nor its configuration files.
"""

from __future__ import annotations

import configparser
import os
from pathlib import Path

_CONFIGURATIONS = (
    Path("/etc/pip.conf"),
    Path("~/.pip/pip.conf"),
    Path("~/.config/pip/pip.conf"),
    Path("~/Library/Application Support/pip/pip.conf"),
)


def find_links() -> str | None:
    """Folders or pages of wheels, separated by commas as uv wants them; `None` if there are none.

    From `UV_FIND_LINKS`, else `PIP_FIND_LINKS`, else pip's configuration.
    """
    own = os.environ.get("UV_FIND_LINKS")
    if own:
        return own
    words = (os.environ.get("PIP_FIND_LINKS") or _configured("find-links") or "").split()
    return ",".join(words) or None


def uv_environment(links: str | None = None) -> dict[str, str]:
    """The environment to run uv in: this one, with pip's settings under uv's names."""
    environment = dict(os.environ)
    environment.pop("VIRTUAL_ENV", None)
    links = links or find_links()
    if links:
        environment["UV_FIND_LINKS"] = links
    index = os.environ.get("PIP_INDEX_URL") or _configured("index-url")
    if index and not {"UV_DEFAULT_INDEX", "UV_INDEX_URL"} & environment.keys():
        environment["UV_DEFAULT_INDEX"] = index
    if "PIP_CERT" in environment:
        environment.setdefault("SSL_CERT_FILE", environment["PIP_CERT"])
    return environment


def has_wheel(links: str | None, package: str, version: str) -> bool:
    """Whether a local folder of `links` holds a wheel of that version, whatever its build tag."""
    for link in (links or "").split(","):
        folder = Path(link.removeprefix("file://")).expanduser()
        if folder.is_dir() and any(
            wheel.name.startswith((f"{package}-{version}-", f"{package}-{version}+"))
            for wheel in folder.glob(f"{package}-*.whl")
        ):
            return True
    return False


def _configured(key: str) -> str | None:
    """A setting of pip's configuration files, the most particular file winning."""
    named = os.environ.get("PIP_CONFIG_FILE")
    config = home / "pip" / "pip.conf" if (home := _xdg()) else None
    files = [path.expanduser() for path in _CONFIGURATIONS]
    files += [path for path in (config, Path(named) if named else None) if path is not None]
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read(files, encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError):
        return None
    for section in ("install", "global"):
        if parser.has_option(section, key):
            return parser.get(section, key)
    return None


def _xdg() -> Path | None:
    folder = os.environ.get("XDG_CONFIG_HOME")
    return Path(folder) if folder else None
