"""The main job, by one command: two real engines, the same load on both, their tails compared."""

from rich.console import Console
from rich.rule import Rule

from lab import ask, experiment, reports, services
from lab.load import Load
from loadtests.asking import PromptFlags
from measure.store import Run
from measure.warmup import Warmup
from servers import supervisor

QUESTION = "The capital of France is"
COMPLETION = Load(
    scenario="completion",
    duration_s=35.0,
    warmup=Warmup("fixed", 5.0),
    users=8,
    prompts=PromptFlags(output_tokens="16"),
)
CLASSIFY = Load(scenario="classify", duration_s=15.0, warmup=Warmup("fixed", 3.0), users=16)


def tour(console: Console, completion: Load = COMPLETION, classify: Load = CLASSIFY) -> list[Run]:
    """Everything `make lab` promises; may be repeated, and then starts and installs nothing.

    Returns the three runs: the same completions on vLLM and on Triton, then the classifier.
    """

    def say(text: str) -> None:
        console.print(text, markup=False)

    console.print(Rule("1/4  Prometheus, vLLM and Triton", align="left"))
    services.watch(say)
    vllm_engine, triton_engine = services.find("vllm"), services.find("triton")
    vllm = experiment.ensure_instance(vllm_engine, say)
    triton = experiment.ensure_instance(triton_engine, say)

    console.print(Rule(f"2/4  Both are asked: {QUESTION} ...", align="left"))
    for engine, instance in ((vllm_engine, vllm), (triton_engine, triton)):
        answer = ask.complete(engine, instance, QUESTION, max_tokens=24)
        say(f"{engine.title}: {QUESTION}{answer}")

    console.print(Rule("3/4  The same load on both, then the classifier", align="left"))
    first = experiment.measured(vllm_engine, vllm, completion, console)
    second = experiment.measured(triton_engine, triton, completion, console)
    third = experiment.measured(triton_engine, triton, classify, console)
    for run in (first, second, third):
        reports.print_run(console, run)

    console.print(Rule("4/4  Side by side", align="left"))
    reports.print_comparison(console, [first, second])

    dashboard = supervisor.up(services.DASHBOARD, say=say)
    say(f"\nDashboard:   {dashboard.base_url}")
    say(f"These runs:  {dashboard.base_url}/compare?runs={first.path.name},{second.path.name}")
    say("Stop it all: make down")
    return [first, second, third]
