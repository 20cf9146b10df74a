"""The two models as the lab's own code in Triton's Python backend: for any tritonserver."""

from collections.abc import Mapping
from pathlib import Path

from servers.contract import Device, Value
from servers.models.build import INSIDE
from servers.triton import pbtxt
from servers.triton.repository import CLASSIFIER, LLM, Model, chosen

_SOURCES = Path(__file__).parent / "models"
_GENERATING = INSIDE / "serving" / "generating.py"
LLM_KNOBS = (
    "max_num_seqs",
    "max_num_batched_tokens",
    "max_model_len",
    "max_output_tokens",
    "dtype",
    "llm_threads",
)


def models(
    settings: Mapping[str, Value], llm: str | None, classifier: Path | None, device: Device
) -> dict[str, Model]:
    """Every model these settings load. `classifier` is the folder with `model.onnx`.

    Raises `ServerError` for settings that contradict each other.
    """
    found = {}
    for name in chosen(settings):
        if name == CLASSIFIER:
            copies = _code(name)
            if classifier is not None:
                copies["1/model.onnx"] = classifier / "model.onnx"
            found[name] = Model({"config.pbtxt": classifier_config(settings)}, copies)
        else:
            config = llm_config(settings, llm or "", device)
            found[name] = Model({"config.pbtxt": config}, _code(name))
    return found


def _code(name: str) -> dict[str, Path]:
    own, shared = (_SOURCES / name / "1").glob("*.py"), (_SOURCES / "shared").glob("*.py")
    generating = [_GENERATING] if name == LLM else []
    return {f"1/{path.name}": path for path in sorted([*own, *shared, *generating])}


def classifier_config(settings: Mapping[str, Value]) -> str:
    """`config.pbtxt` of `text_classifier`: token ids and mask in, two logits out.

    Inputs INT64 `input_ids` and `attention_mask` of shape [batch, tokens], output FP32 `logits`
    [batch, 2]. Triton joins only requests of equal token count into one batch, unless
    `allow_ragged_batch` is on: then any, and the model pads them to the longest.
    Raises `ServerError` when a preferred batch size is larger than `max_batch_size`.
    """
    ragged = "allow_ragged_batch: true" if settings["allow_ragged_batch"] else ""
    inputs = [
        pbtxt.tensor(name, "TYPE_INT64", "-1", ragged) for name in ("input_ids", "attention_mask")
    ]
    lines = [
        f"name: {pbtxt.text(CLASSIFIER)}",
        'backend: "python"',
        f"max_batch_size: {settings['max_batch_size']}",
        *pbtxt.tensors("input", inputs),
        *pbtxt.tensors("output", [pbtxt.tensor("logits", "TYPE_FP32", "2")]),
        *pbtxt.dynamic_batching(settings),
        f"instance_group [ {{ count: {settings['instances']} kind: KIND_CPU }} ]",
        *pbtxt.parameters({"threads": settings["threads"]}),
    ]
    return "\n".join(lines) + "\n"


def llm_config(settings: Mapping[str, Value], model: str, device: Device) -> str:
    """`config.pbtxt` of `llm`: one request in, many responses out (decoupled), no Triton batching.

    The model batches by itself at every token (continuous batching), so Triton must hand over
    each request at once: `max_batch_size` 0 and one instance. `model` is a local folder or a
    Hugging Face id.
    """
    inputs = [
        pbtxt.tensor("text_input", "TYPE_STRING", "1"),
        pbtxt.tensor("max_tokens", "TYPE_INT32", "1", "optional: true"),
        pbtxt.tensor("temperature", "TYPE_FP32", "1", "optional: true"),
        pbtxt.tensor("ignore_eos", "TYPE_BOOL", "1", "optional: true"),
        pbtxt.tensor("stream", "TYPE_BOOL", "1", "optional: true"),
    ]
    outputs = [
        pbtxt.tensor("text_output", "TYPE_STRING", "1"),
        pbtxt.tensor("output_tokens", "TYPE_INT32", "1"),
        pbtxt.tensor("prompt_tokens", "TYPE_INT32", "1"),
        pbtxt.tensor("finish_reason", "TYPE_STRING", "1"),
    ]
    lines = [
        f"name: {pbtxt.text(LLM)}",
        'backend: "python"',
        "max_batch_size: 0",
        "model_transaction_policy { decoupled: true }",
        *pbtxt.tensors("input", inputs),
        *pbtxt.tensors("output", outputs),
        "instance_group [ { count: 1 kind: KIND_CPU } ]",
        *pbtxt.parameters(
            {"model": model, "device": device, **{name: settings[name] for name in LLM_KNOBS}}
        ),
    ]
    return "\n".join(lines) + "\n"
