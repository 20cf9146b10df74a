"""TorchServe's custom handler: one call a batch, one answer or one error a request."""

import json
import logging

from classifying import Classifier, ids_or_refusal, respond, tokenizer
from ts.metrics.metric_type_enum import MetricTypes

BATCH_SIZE = "classify_batch_size"


class Handler:
    """One worker: the classifier, and a batch at a time from TorchServe's queue."""

    def initialize(self, context):
        """Load the model that the archive was unpacked into; its threads stand in the archive."""
        # A line for each request would cost more than the request. Metrics travel as log lines.
        logging.getLogger().setLevel(logging.WARNING)
        logging.getLogger("ts.metrics").setLevel(logging.INFO)
        folder = context.system_properties["model_dir"]
        self._tokenizer = tokenizer(folder)
        self._classifier = Classifier(folder, context.model_yaml_config["handler"]["threads"])
        self._name = context.model_name

    def handle(self, requests, context):
        """The answers of a batch, in its order, as JSON; what is refused gets its own status."""
        metric = context.metrics.get_metric(BATCH_SIZE, MetricTypes.HISTOGRAM)
        metric.add_or_update(len(requests), [self._name])
        asked = [ids_or_refusal(one.get("body") or b"", self._tokenizer) for one in requests]
        bodies = []
        for index, found in enumerate(self._classifier.run_each(asked)):
            status, document = respond(found)
            context.set_response_content_type(index, "application/json")
            context.set_response_status(status, idx=index)
            bodies.append(json.dumps(document))
        return bodies
