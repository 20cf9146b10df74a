"""Which route of an application a request is for: its template, never its raw path."""

from __future__ import annotations

from collections.abc import Iterable

from starlette.routing import BaseRoute, Match, Mount
from starlette.types import Scope

UNKNOWN = "unknown"
"""The one label of all paths that no route has."""


def template(scope: Scope) -> str:
    """The path template of the route that will answer, such as `/jobs/{id}`.

    Asked before the application routes, so that a request has its label while it is active. A
    path that a route has but not for this method (405) is that route's.
    """
    app = scope.get("app")
    return _find(getattr(app, "routes", ()), scope) or UNKNOWN


def _find(routes: Iterable[BaseRoute], scope: Scope) -> str | None:
    partial: str | None = None
    for route in routes:
        match, child = route.matches(scope)
        if match is Match.FULL:
            return _name(route, {**scope, **child})
        if match is Match.PARTIAL and partial is None:
            partial = _name(route, {**scope, **child})
    return partial


def _name(route: BaseRoute, scope: Scope) -> str | None:
    if isinstance(route, Mount):
        inner = _find(route.routes, scope)
        return route.path + inner if inner else route.path_format
    path = getattr(route, "path_format", None)
    return path if isinstance(path, str) else None
