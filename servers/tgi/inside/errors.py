"""What goes wrong with a request, as TGI says it: a message, a type and an HTTP status."""


class InferError(Exception):
    """A request that cannot be answered. `failure` is its label in `tgi_request_failure`."""

    status = 500
    error_type = "incomplete_generation"
    failure = "incomplete"

    def document(self):
        """The body, or the frame, that tells of it."""
        return {"error": str(self), "error_type": self.error_type}


class Overloaded(InferError):
    """All `max_concurrent_requests` permits are taken."""

    status, error_type, failure = 429, "overloaded", "overloaded"

    def __init__(self):
        super().__init__("Model is overloaded")


class Invalid(InferError):
    """The request's own fault."""

    status, error_type, failure = 422, "validation", "validation"

    def __init__(self, message):
        super().__init__(f"Input validation error: {message}")


class TemplateFailed(InferError):
    """The model's chat template has no answer to these messages."""

    status, error_type, failure = 422, "template_error", "template"

    def __init__(self, message):
        super().__init__(f"Template error: {message}")


class GenerationFailed(InferError):
    """The model failed while it computed the answer."""

    status, error_type, failure = 424, "generation", "generation"

    def __init__(self, message):
        super().__init__(f"Request failed during generation: {message}")


class Incomplete(InferError):
    """The server stops before the answer is complete."""

    def __init__(self):
        super().__init__("Incomplete generation")
