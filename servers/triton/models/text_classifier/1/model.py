"""A text classifier in Triton's Python backend: onnxruntime on the lab's trained MiniLM.

Triton hands `execute` all requests of one dynamic batch. They are padded to the longest, joined
along the batch dimension, run once, and split again, so the batch Triton built is the batch that
is computed. (Their lengths differ only if the configuration allows a ragged batch.)
"""

import json
from pathlib import Path

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils
from numpy_check import require_numpy_1


class TritonPythonModel:
    """One instance (its own process) of the classifier."""

    def initialize(self, args):
        """Load the graph; `threads` of `parameters` go to each call's matrix products."""
        require_numpy_1(np.__version__)
        config = json.loads(args["model_config"])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(config["parameters"]["threads"]["string_value"])
        options.inter_op_num_threads = 1
        graph = Path(args["model_repository"]) / args["model_version"] / "model.onnx"
        self.session = onnxruntime.InferenceSession(
            str(graph), options, providers=["CPUExecutionProvider"]
        )
        self.input_names = [node.name for node in self.session.get_inputs()]

    def execute(self, requests):
        """One response a request, in order; a bad request fails alone."""
        inputs = [self._inputs(request) for request in requests]
        faults = [fault(one) for one in inputs]
        good = [one for one, wrong in zip(inputs, faults, strict=True) if wrong is None]
        answers = iter(self._run_isolating(good) if good else [])
        return [next(answers) if wrong is None else _refusal(wrong) for wrong in faults]

    def _inputs(self, request):
        return {
            name: pb_utils.get_input_tensor_by_name(request, name).as_numpy()
            for name in self.input_names
        }

    def _run_isolating(self, inputs):
        """All in one run; if that fails, each alone, so that only the culprit gets the error."""
        try:
            return self._run(inputs)
        except Exception:
            return [self._run_alone(one) for one in inputs]

    def _run(self, inputs):
        feed = {name: joined([one[name] for one in inputs]) for name in self.input_names}
        (logits,) = self.session.run(["logits"], feed)
        ends = np.cumsum([len(one[self.input_names[0]]) for one in inputs])
        return [
            pb_utils.InferenceResponse([pb_utils.Tensor("logits", part)])
            for part in np.split(logits.astype(np.float32), ends[:-1])
        ]

    def _run_alone(self, one):
        try:
            return self._run([one])[0]
        except Exception as error:
            return _refusal(str(error))


def joined(rows):
    """All rows of these [rows, tokens] arrays in one, shorter ones filled up with zeros.

    Zero is the padding of both inputs: the vocabulary's padding token, and a mask of "not there".
    """
    longest = max(one.shape[1] for one in rows)
    return np.concatenate([np.pad(one, ((0, 0), (0, longest - one.shape[1]))) for one in rows])


def fault(one):
    """What is wrong with the `input_ids` and `attention_mask` of a request, or `None`.

    These would be computed, with an answer that means nothing: onnxruntime counts negative ids
    from the vocabulary's end, and stretches a mask of one column over all tokens. What it
    refuses by itself (ids beyond the vocabulary, texts too long) is left to it.
    """
    ids, mask = one["input_ids"], one["attention_mask"]
    if ids.shape != mask.shape:
        return f"input_ids has shape {list(ids.shape)}, attention_mask {list(mask.shape)}"
    if ids.shape[1] == 0:
        return "input_ids holds no token"
    if ids.min() < 0:
        return f"input_ids holds {ids.min()}; ids are never negative"
    if not ((mask == 0) | (mask == 1)).all() or not mask.any(axis=1).all():
        return "attention_mask must hold 1 for a token and 0 for padding, and a 1 in every row"
    return None


def _refusal(message):
    error = pb_utils.TritonError(f"text_classifier cannot run this input: {message}")
    return pb_utils.InferenceResponse(error=error)
