"""Reference answers, computed without Triton. Runs in the engine's own environment.

Usage: triton_reference.py classifier GRAPH | llm FOLDER, with JSON on standard input, JSON out.
"""

import json
import sys


def classifier(graph: str, texts: list[list[int]]) -> list[list[float]]:
    """Logits of each list of token ids, one text at a time."""
    import numpy as np
    import onnxruntime

    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    answers = []
    for ids in texts:
        row = np.array([ids], dtype=np.int64)
        feed = {"input_ids": row, "attention_mask": np.ones_like(row)}
        answers.append(session.run(["logits"], feed)[0][0].tolist())
    return answers


def llm(folder: str, asked: list[dict]) -> list[str]:
    """transformers' own greedy `generate`, one prompt at a time, in float32."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    answers = []
    for one in asked:
        ids = tokenizer(one["text_input"], return_tensors="pt")
        out = model.generate(**ids, max_new_tokens=one["max_tokens"], do_sample=False)
        new = out[0, ids["input_ids"].shape[1] :]
        answers.append(tokenizer.decode(new, skip_special_tokens=True))
    return answers


if __name__ == "__main__":
    work = {"classifier": classifier, "llm": llm}[sys.argv[1]]
    json.dump(work(sys.argv[2], json.load(sys.stdin)), sys.stdout)
