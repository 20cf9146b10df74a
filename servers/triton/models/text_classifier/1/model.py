"""A text classifier in Triton's Python backend: onnxruntime on the lab's trained MiniLM.

Triton hands `execute` all requests of one dynamic batch. They are joined along the batch
dimension, run once, and split again, so the batch Triton built is the batch that is computed.
"""

import json
from pathlib import Path

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils


def require_numpy_1(version: str) -> None:
    """Raise `RuntimeError` for numpy 2 or newer.

    This backend was built against numpy 1 and reads newer arrays wrongly *without an error*:
    wrong answers would look like a bad model.
    """
    if int(version.split(".")[0]) >= 2:
        raise RuntimeError(
            f"numpy {version} gives silently wrong tensors in this Python backend; "
            "install numpy < 2 into the environment Triton's models run in"
        )


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
        inputs = [
            {
                name: pb_utils.get_input_tensor_by_name(request, name).as_numpy()
                for name in self.input_names
            }
            for request in requests
        ]
        try:
            return self._run(inputs)
        except Exception:
            # One request's fault (an id outside the vocabulary, a mask of another shape, a text
            # longer than the encoder takes) must not fail its neighbours: find out whose it is.
            return [self._run_alone(one) for one in inputs]

    def _run(self, inputs):
        feed = {name: np.concatenate([one[name] for one in inputs]) for name in self.input_names}
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
            message = f"text_classifier cannot run this input: {error}"
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(message))
