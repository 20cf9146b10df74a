"""An offline job: `-m servers.vllm.inside.batch --prompts FILE --report-fd N`, then vLLM's flags.

It gives all prompts to one `LLM.generate`, which batches them continuously, and tells of each
answer the moment it is finished, as JSON lines on the descriptor: `servers/offline.py` has the
kinds. Times are this machine's monotonic clock, in seconds.
"""

import json
import os
import threading
import time
from pathlib import Path

from prometheus_client import REGISTRY
from vllm import LLM, EngineArgs, SamplingParams, __version__
from vllm.inputs import tokens_input
from vllm.outputs import RequestOutput
from vllm.utils.argparse_utils import FlexibleArgumentParser

from servers.vllm.inside.chat import chat_tokens

METRICS_EVERY_S = 1.0
# The longest answer where the prompt's line does not say how long it is to be.
MOST_TOKENS = 256


class Report:
    """Tells of what happens, one JSON line each. Safe for threads."""

    def __init__(self, descriptor: int) -> None:
        # Not for the engine's processes: when this one dies the reader is to know it.
        os.set_inheritable(descriptor, False)
        self._file = os.fdopen(descriptor, "w", encoding="utf-8")
        self._lock = threading.Lock()

    def tell(self, kind: str, **facts) -> None:
        """Write one line. Raises `BrokenPipeError` if nobody reads any more: the job is over."""
        line = json.dumps({"kind": kind, **facts}) + "\n"
        with self._lock:
            self._file.write(line)
            self._file.flush()


def main() -> None:
    """Load the model, then generate all there is to."""
    parser = FlexibleArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=Path, required=True)
    parser.add_argument("--report-fd", type=int, required=True)
    arguments = EngineArgs.add_cli_args(parser).parse_args()
    report = Report(arguments.report_fd)
    lines = arguments.prompts.read_text(encoding="utf-8").splitlines()
    engine_arguments = EngineArgs.from_cli_args(arguments)
    # Offline it keeps no times of requests unless it is told to.
    engine_arguments.disable_log_stats = False
    llm = LLM.from_engine_args(engine_arguments)
    report.tell(
        "ready", monotonic_s=time.monotonic(), epoch_s=time.time(), version=str(__version__)
    )
    _generate(llm, [json.loads(line) for line in lines], report)
    report.tell("done", monotonic_s=time.monotonic())


def _generate(llm: LLM, asked: list[dict], report: Report) -> None:
    accepted, prompts, params = [], [], []
    for place, entry in enumerate(asked):
        try:
            tokens = _tokens(llm, entry)
            params.append(_sampling(entry, len(tokens), llm.model_config.max_model_len))
        except Exception as error:
            # `generate` refuses the whole list for one prompt that it cannot take.
            report.tell("refused", place=place, error=str(error), monotonic_s=time.monotonic())
            continue
        prompts.append(tokens_input(tokens))
        accepted.append(place)
    _tell_of_each(llm, accepted, report)
    stop = threading.Event()
    watching = threading.Thread(target=_watch_metrics, args=(report, stop), daemon=True)
    _tell_metrics(report)
    watching.start()
    try:
        llm.generate(prompts, params, use_tqdm=False)
    finally:
        stop.set()
        watching.join()
    _tell_metrics(report)


def _tokens(llm: LLM, entry: dict) -> list[int]:
    tokenizer = llm.get_tokenizer()
    if "messages" in entry:
        return chat_tokens(tokenizer, entry["messages"])
    return tokenizer.encode(entry["prompt"])


def _sampling(entry: dict, prompt_tokens: int, max_model_len: int) -> SamplingParams:
    """Greedy, and exactly `output_tokens` long where the line says so; raises if it cannot fit."""
    exactly = entry.get("output_tokens")
    room = max_model_len - prompt_tokens
    if room < (exactly or 1):
        raise ValueError(
            f"the prompt is {prompt_tokens} tokens and its answer at least {exactly or 1}: more "
            f"than max_model_len={max_model_len} together"
        )
    return SamplingParams(
        temperature=0,
        max_tokens=exactly or min(MOST_TOKENS, room),
        ignore_eos=exactly is not None,
    )


def _tell_of_each(llm: LLM, places: list[int], report: Report) -> None:
    """Have every finished answer told at once: `generate` itself returns them all at its end."""
    step = llm.llm_engine.step

    def telling_step() -> list[RequestOutput]:
        outputs = step()
        for output in outputs:
            if output.finished:
                _tell_answer(places[int(output.request_id)], output, report)
        return outputs

    llm.llm_engine.step = telling_step


def _tell_answer(place: int, output: RequestOutput, report: Report) -> None:
    (answer,) = output.outputs
    times = output.metrics
    report.tell(
        "answer",
        place=place,
        text=answer.text,
        finish_reason=answer.finish_reason,
        prompt_tokens=len(output.prompt_token_ids),
        cached_tokens=output.num_cached_tokens or 0,
        output_tokens=len(answer.token_ids),
        queued_s=times.queued_ts,
        scheduled_s=times.scheduled_ts,
        first_token_s=times.first_token_ts,
        last_token_s=times.last_token_ts,
    )


def _watch_metrics(report: Report, stop: threading.Event) -> None:
    while not stop.wait(METRICS_EVERY_S):
        _tell_metrics(report)


def _tell_metrics(report: Report) -> None:
    """The engine's own metrics, as its /metrics would show them if it had one."""
    samples = [
        [sample.name, sample.labels, sample.value]
        for family in REGISTRY.collect()
        if family.name.startswith("vllm:")
        for sample in family.samples
    ]
    report.tell("metrics", monotonic_s=time.monotonic(), samples=samples)


if __name__ == "__main__":
    main()
