"""The language model and its tokenizer, from a local folder or a Hugging Face id."""

from generating import choose_dtype, stop_ids
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

# Those whose attention is plain causal attention and whose logits are the head's output alone:
# what the batcher computes.
SUPPORTED = ("llama", "mistral", "qwen2", "qwen3")


def load(name, device, dtype):
    """The model in evaluation mode on `device`, and its `tokenizers.Tokenizer` and stop ids.

    Raises `ValueError` for an architecture the batcher would compute wrongly.
    """
    config = AutoConfig.from_pretrained(name)
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    if config.model_type not in SUPPORTED or kinds != {"full_attention"}:
        raise ValueError(
            f"the llm model serves {', '.join(SUPPORTED)} with full attention; {name} is "
            f"{config.model_type} ({', '.join(sorted(kinds))})"
        )
    tokenizer = AutoTokenizer.from_pretrained(name)
    model = AutoModelForCausalLM.from_pretrained(
        name, config=config, dtype=choose_dtype(dtype, device), attn_implementation="sdpa"
    )
    return model.eval().to(device), tokenizer.backend_tokenizer, stop_ids(model, tokenizer)
