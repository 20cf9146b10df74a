"""What every command of the `lab` shares: the terminal, its options in common, where errors end."""

import functools
import sys
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console

from lab.errors import LabError
from measure.errors import MeasureError
from servers.contract import Way
from servers.errors import ServerError

# A file or a pipe has no width of its own; 80 columns would cut the tables.
PIPE_WIDTH = None if sys.stdout.isatty() else 140
console = Console(highlight=False, soft_wrap=True, width=PIPE_WIDTH)
errors = Console(stderr=True, highlight=False, soft_wrap=True)

F = TypeVar("F", bound=Callable[..., Any])

EngineName = Annotated[
    str, typer.Argument(metavar="ENGINE", help="An engine, such as vllm or triton.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KNOB=VALUE", help="Set a knob; may be given several times."),
]
Model = Annotated[
    str | None,
    typer.Option(help="A Hugging Face folder or id; 'tiny' for the small random one."),
]
InstanceName = Annotated[str | None, typer.Option("--name", help="The instance's name.")]
WayOfRunning = Annotated[
    Way | None,
    typer.Option("--way", help="How to run it; left out, the first that this machine has."),
]

Cold = Annotated[
    bool,
    typer.Option(
        "--no-warmup",
        help="Do not warm the engine up: send nothing to it before it is used.",
    ),
]


def say(text: str) -> None:
    """Progress for the person at the terminal, exactly as it is (no markup)."""
    console.print(text, markup=False)


def guarded(command: F) -> F:
    """Errors a person can act on become a paragraph and exit code 1; Ctrl-C becomes 130."""

    @functools.wraps(command)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except (LabError, MeasureError, ServerError) as problem:
            errors.print(f"error: {problem}", markup=False)
            raise typer.Exit(1) from None
        except OSError as problem:
            errors.print(f"error: the system refused: {problem}", markup=False)
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            errors.print("interrupted")
            raise typer.Exit(130) from None

    return wrapper  # type: ignore[return-value]
