"""The models themselves, made for real: the classifier's graph and the Llamas' folders.

The first run makes them (a minute); later ones read what is there. What needs onnxruntime
runs inside the models' environment, as it does in the lab.
"""

import json
import subprocess
import textwrap
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from servers import environments, models

pytestmark = pytest.mark.engine

LLAMA_FILES = ("config", "generation_config", "tokenizer_config", "card")


def inside(source: str, *arguments: object) -> dict:
    """What a few lines print as JSON, run by the Python of the models' environment."""
    python = environments.ensure(models.ENVIRONMENT, "cpu", print)
    done = subprocess.run(
        [python, "-E", "-s", "-c", textwrap.dedent(source), *map(str, arguments)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


CLASSIFY = """
    import json, sys
    import numpy as np, onnxruntime
    from tokenizers import Tokenizer
    folder = sys.argv[1]
    session = onnxruntime.InferenceSession(folder + "/model.onnx")
    tokenizer = Tokenizer.from_file(folder + "/tokenizer.json")

    def logits(texts, width=None):
        found = [tokenizer.encode(text).ids for text in texts]
        width = width or max(map(len, found))
        ids = np.array([row + [0] * (width - len(row)) for row in found], dtype=np.int64)
        mask = np.array([[1] * len(row) + [0] * (width - len(row)) for row in found], dtype=np.int64)
        return session.run(None, {"input_ids": ids, "attention_mask": mask})[0]
"""


@pytest.fixture(scope="module")
def classifier() -> Path:
    return models.classifier(print)


def test_the_graph_has_the_names_types_and_shapes_that_servers_declare(classifier):
    facts = inside(
        CLASSIFY
        + """
    tell = lambda values: [[v.name, v.type, v.shape[1:] if v.name == "logits" else len(v.shape)] for v in values]
    print(json.dumps({"in": tell(session.get_inputs()), "out": tell(session.get_outputs())}))
    """,
        classifier,
    )
    assert facts == {
        "in": [["input_ids", "tensor(int64)", 2], ["attention_mask", "tensor(int64)", 2]],
        "out": [["logits", "tensor(float)", [2]]],
    }


def test_padding_and_company_in_the_batch_do_not_change_an_answer(classifier):
    facts = inside(
        CLASSIFY
        + """
    texts = ["I love it.", "A dull, joyless film that goes on for far too long.", "Good!"]
    alone = np.concatenate([logits([text]) for text in texts])
    together, padded = logits(texts), logits(texts, 128)
    worst = lambda other: float(np.abs(alone - other).max())
    print(json.dumps({"together": worst(together), "padded": worst(padded), "shape": together.shape}))
    """,
        classifier,
    )
    assert facts["shape"] == [3, 2]
    # Weights alone are 8-bit: nothing is rounded by what else is in the batch.
    assert facts["together"] < 1e-4
    assert facts["padded"] < 1e-4


def test_it_tells_praise_from_complaint(classifier):
    facts = inside(
        CLASSIFY
        + """
    praise = ["What a wonderful day, I am so happy!", "This phone is excellent and I love it."]
    complaint = ["I hate this, it is awful.", "The worst and most boring film of the year."]
    print(json.dumps({"classes": logits(praise + complaint).argmax(axis=1).tolist()}))
    """,
        classifier,
    )
    labels = json.loads((classifier / "card.json").read_text())["labels"]
    assert [labels[index] for index in facts["classes"]] == ["positive"] * 2 + ["negative"] * 2


def test_the_card_has_a_measured_accuracy_that_beats_guessing(classifier):
    card = json.loads((classifier / "card.json").read_text())
    assert card["trained_on"] > 4 * card["held_out"] * 0.9
    assert card["held_out"] > 1000
    assert card["majority_baseline"] + 0.2 < card["held_out_accuracy"] < 0.95


@pytest.mark.parametrize(
    ("make", "parameters"), [("smollm2", 134_515_008), ("tiny_llama", 3_227_968)]
)
def test_a_llama_is_a_whole_folder_with_its_chat_template_and_end_token(make, parameters):
    folder = getattr(models, make)(print)
    read = {name: json.loads((folder / f"{name}.json").read_text()) for name in LLAMA_FILES}
    assert models.resolve_llm(str(folder)) == str(folder)
    assert read["config"]["dtype"] == "bfloat16"
    assert read["card"]["parameters"] == parameters
    end = Tokenizer.from_file(str(folder / "tokenizer.json")).token_to_id("<|im_end|>")
    assert end == read["generation_config"]["eos_token_id"] == read["config"]["eos_token_id"]
    assert read["tokenizer_config"]["eos_token"] == "<|im_end|>"
    assert "<|im_start|>assistant" in (folder / "chat_template.jinja").read_text()
