"""`lab batch`: its options, and what it says of the outcome."""

from pathlib import Path
from typing import Annotated

import typer

from lab import services
from lab.terminal import EngineName, Model, Settings, console, say
from servers import knobs


def batch_command(
    engine: EngineName,
    prompts: Annotated[
        Path,
        typer.Argument(
            metavar="FILE.jsonl",
            help='A line each: {"prompt": ...} or {"messages": [...]}, and "output_tokens" if the '
            "answer is to be exactly so long.",
        ),
    ],
    output: Annotated[
        Path | None, typer.Option(help="The answers; FILE.answers.jsonl if left out.")
    ] = None,
    settings: Settings = None,
    model: Model = None,
) -> None:
    """Answer a file of prompts with an engine alone, without a server.

    The same command goes on where it was stopped: what has an answer is not asked again.
    """
    from lab import reports
    from lab.batch import NOTE, batch

    kind = services.find(engine)
    answers = output or prompts.with_suffix(".answers.jsonl")
    outcome = batch(
        kind, prompts, answers, console, settings=knobs.parse(kind, settings or []), model=model
    )
    if outcome.run is not None:
        reports.print_run(console, outcome.run)
        console.print(NOTE, markup=False, style="dim")
    say(f"answers: {answers}" + (f"; {outcome.left} prompts have none" if outcome.left else ""))
    for line, why in list(outcome.refused.items())[:10]:
        console.print(f"  line {line}: {why}", markup=False, style="red")
    if outcome.failure is not None:
        raise outcome.failure
    if outcome.interrupted:
        say("interrupted; the same command goes on with the others")
        raise typer.Exit(130)
    if outcome.left:
        raise typer.Exit(1)
