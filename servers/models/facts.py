"""What a language model's folder says of its size: read from its files, nothing is loaded.

A Hugging Face id is looked up among what was downloaded before; the network is not asked.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from servers.contract import Device
from servers.memory import show

DTYPE_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}
# https://github.com/huggingface/safetensors: 8 bytes with the header's length, then JSON.
_FLOATS = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
_HEADER_AT_MOST = 100_000_000
# Their attention keeps something else than a key and a value a head for every token.
_OTHER_CACHES = ("kv_lora_rank", "ssm_cfg", "mamba_d_state", "attention_chunk_size")


@dataclass(frozen=True)
class ModelFacts:
    """A model's size. `None` is what its files do not say, or say in a way not known here.

    `floats` are its floating-point parameters, which are converted when it is loaded;
    `other_bytes` is the rest, which stays as it is (quantised weights). `kv_values_per_token` are
    the numbers kept in the KV cache for one token, over all layers.
    """

    dtype: str
    floats: int
    other_bytes: int
    kv_values_per_token: int | None

    def weight_bytes(self, dtype: str) -> int:
        """Bytes of the weights loaded as `dtype`; `auto` is the model's own."""
        size = dtype_bytes(self.dtype if dtype == "auto" else dtype)
        return self.floats * size + self.other_bytes

    def kv_bytes_per_token(self, dtype: str) -> int | None:
        """Bytes of keys and values of a token; `auto` is the model's own format."""
        if self.kv_values_per_token is None:
            return None
        return self.kv_values_per_token * dtype_bytes(self.dtype if dtype == "auto" else dtype)


def dtype_bytes(dtype: str) -> int:
    """Bytes of a number in this format; every `fp8` has one."""
    return 1 if dtype.startswith("fp8") else DTYPE_BYTES.get(dtype, 2)


def fastest_dtype(device: Device) -> str:
    """What the lab's own servers of language models take where nothing is asked.

    bfloat16 where the hardware multiplies it (every GPU of today; a CPU with AVX512-BF16), else
    float32.
    """
    if device == "cuda":
        return "bfloat16"
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return "float32"
    return "bfloat16" if "avx512_bf16" in flags else "float32"


def read(model: str | None) -> ModelFacts | None:
    """The facts of a model's folder or Hugging Face id; `None` if they cannot be had here."""
    folder = _folder(model)
    if folder is None:
        return None
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        weights = _weights(folder)
        if not isinstance(config, dict) or weights is None:
            return None
        text = config.get("text_config") or config
        return ModelFacts(_dtype(config, text), *weights, kv_values_per_token(text))
    except (OSError, ValueError, TypeError, AttributeError, KeyError, struct.error):
        return None


def kv_values_per_token(config: Mapping[str, Any]) -> int | None:
    """Numbers a token adds to the KV cache: layers × KV heads × head size, keys and values.

    `None` where some layer keeps less than every token, or something else (sliding windows,
    latent attention, state spaces), or where the configuration uses other words.
    """
    layers = config.get("num_hidden_layers", config.get("n_layer"))
    heads = config.get("num_attention_heads", config.get("n_head"))
    width = config.get("hidden_size", config.get("n_embd"))
    if not all(isinstance(number, int) and number > 0 for number in (layers, heads, width)):
        return None
    windowed = bool(config.get("sliding_window")) and config.get("use_sliding_window", True)
    kinds = set(
        config.get("layer_types") or ["sliding_attention" if windowed else "full_attention"]
    )
    if kinds != {"full_attention"} or any(config.get(word) for word in _OTHER_CACHES):
        return None
    kv_heads = config.get("num_key_value_heads") or heads
    head_size = config.get("head_dim") or width // heads
    return int(2 * layers * kv_heads * head_size)


def tokens_in_words(size_bytes: int, per_token_bytes: int) -> str:
    """`46,603 tokens of 22.5 KiB`: what a KV cache of this size holds."""
    return f"{size_bytes // per_token_bytes:,} tokens of {per_token_bytes / 1024:.3g} KiB"


def unknown(model: str | None) -> str:
    """Why the facts of this model are unknown, for a person."""
    return f"unknown: {model or 'the model'} is not on this machine, or not in a known layout"


def weights_in_words(facts: ModelFacts, dtype: str) -> str:
    """`135M parameters as bfloat16`."""
    shown = facts.dtype if dtype == "auto" else dtype
    millions = facts.floats / 1e6
    number = f"{millions / 1000:.3g}B" if millions >= 999.5 else f"{millions:.3g}M"
    rest = f" and {show(facts.other_bytes)} of other formats" if facts.other_bytes else ""
    return f"{number} parameters as {shown}{rest}"


def _folder(model: str | None) -> Path | None:
    if model is None:
        return None
    if Path(model).is_dir():
        return Path(model)
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(model, "config.json")
    except HFValidationError:
        return None
    return Path(found).parent if isinstance(found, str) else None


def _dtype(config: Mapping[str, Any], text: Mapping[str, Any]) -> str:
    """The format it is served in if nothing else is asked. vLLM takes float32 models as float16."""
    for where in (config, text):
        found = where.get("dtype") or where.get("torch_dtype")
        if isinstance(found, str) and found in DTYPE_BYTES:
            return found
    return "float32"


def _weights(folder: Path) -> tuple[int, int] | None:
    """Floating-point parameters, and bytes of everything else; `None` if a file is missing."""
    files = _files(folder, "safetensors")
    if files:
        counted = [_counted(_header(path)) for path in files]
        return sum(floats for floats, _ in counted), sum(rest for _, rest in counted)
    files = _files(folder, "bin")
    if not files:
        return None
    # A pickle cannot be read without running it: nearly all of it are the weights.
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    size = sum(path.stat().st_size for path in files)
    return size // dtype_bytes(_dtype(config, config)), 0


def _files(folder: Path, suffix: str) -> list[Path]:
    """The weights that are loaded: those an index names, else all of the kind."""
    for index in sorted(folder.glob(f"*.{suffix}.index.json")):
        shards = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
        return [folder / shard for shard in sorted(set(shards))]
    return sorted(folder.glob(f"*.{suffix}"))


def _header(path: Path) -> Mapping[str, Any]:
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        if length > _HEADER_AT_MOST:
            raise ValueError(f"{path} has no safetensors header")
        header = json.loads(file.read(length))
    if not isinstance(header, dict):
        raise ValueError(f"{path} has no safetensors header")
    return header


def _counted(header: Mapping[str, Any]) -> tuple[int, int]:
    floats = other = 0
    for tensor in _tensors(header):
        if tensor["dtype"] in _FLOATS:
            floats += math.prod(tensor["shape"])
        else:
            start, end = tensor["data_offsets"]
            other += end - start
    return floats, other


def _tensors(header: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    return (tensor for name, tensor in header.items() if name != "__metadata__")
