"""What is answered alike at any time: health, and which model there is, in every protocol."""

from servers.reference.asks import MODEL

_MODELS = {"object": "list", "data": [{"id": MODEL, "object": "model", "owned_by": "reference"}]}
DOCUMENTS: dict[tuple[str, str], object] = {
    ("GET", "/health"): {},
    ("GET", "/v1/models"): _MODELS,
    ("GET", "/v2"): {"name": MODEL, "version": "1", "extensions": ["generate"]},
    ("GET", "/v2/health/ready"): {},
    ("GET", "/v2/health/live"): {},
    ("GET", f"/v2/models/{MODEL}/ready"): {},
    ("POST", "/v2/repository/index"): [{"name": MODEL, "version": "1", "state": "READY"}],
    ("GET", "/info"): {"model_id": MODEL, "version": "reference"},
}
