"""transformers' own greedy `generate`, one prompt at a time, in float32: what batches must equal.

Runs in the engine's environment. Usage: tgi_reference.py FOLDER, with a JSON list of
`[prompt, new tokens]` on standard input; the new tokens' ids on standard output.
"""

import json
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32).eval()
answers = []
for prompt, most in json.load(sys.stdin):
    ids = tokenizer(prompt, return_tensors="pt")
    out = model.generate(**ids, max_new_tokens=most, do_sample=False)
    answers.append(out[0, ids["input_ids"].shape[1] :].tolist())
json.dump(answers, sys.stdout)
