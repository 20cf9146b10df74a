"""What an engine is asked, for tests of its command line: nothing of it need exist."""

from pathlib import Path

from servers import knobs
from servers.contract import Device, Engine, Request, Value

WORKSPACE = Path("/lab/work/one")


def request_of(
    engine: Engine,
    workspace: Path = WORKSPACE,
    *,
    model: str | None = None,
    device: Device = "cpu",
    **settings: Value,
) -> Request:
    """The instance `one` on the engine's usual ports, in its environment below `/envs`."""
    return Request(
        instance="one",
        settings=knobs.complete(engine, settings),
        model=model,
        served_name=engine.name if model is None else Path(model).name,
        ports=dict(engine.ports),
        host="127.0.0.1",
        workspace=workspace,
        python=Path("/envs") / engine.environment.name / "bin/python",
        device=device,
    )
