"""Errors in the shape of OpenAI's API: `{"error": {message, type, param, code}}`."""

from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from vllm.exceptions import GracefulHTTPError, VLLMClientError
from vllm.v1.engine.exceptions import EngineDeadError

_SERVER_ERROR = HTTPStatus.INTERNAL_SERVER_ERROR


class Refused(Exception):
    """The request cannot be served as it is; the message is for the client."""

    def __init__(
        self,
        message: str,
        *,
        status: HTTPStatus = HTTPStatus.BAD_REQUEST,
        param: str | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.param, self.code = status, param, code


def unknown_model(asked: str, served: str) -> Refused:
    """This server has one model, and it was asked for another."""
    return Refused(
        f"The model {asked!r} does not exist here; {served!r} does.",
        status=HTTPStatus.NOT_FOUND,
        param="model",
        code="model_not_found",
    )


def install(app: FastAPI) -> None:
    """Have every error of `app` answered in this shape."""

    async def answer(_request: Request, error: Exception) -> JSONResponse:
        return JSONResponse(document(error), status_code=status_of(error))

    for kind in (
        Refused, RequestValidationError, HTTPException, VLLMClientError, GracefulHTTPError,
        EngineDeadError, Exception,
    ):  # fmt: skip
        app.add_exception_handler(kind, answer)


def status_of(error: Exception) -> HTTPStatus:
    """Whose fault it was, as an HTTP status."""
    if isinstance(error, Refused):
        return error.status
    if isinstance(error, HTTPException):
        return HTTPStatus(error.status_code)
    if isinstance(error, GracefulHTTPError):
        return error.http_status
    if isinstance(error, RequestValidationError | VLLMClientError):
        return HTTPStatus.BAD_REQUEST
    if isinstance(error, EngineDeadError):
        return HTTPStatus.SERVICE_UNAVAILABLE
    return _SERVER_ERROR


def document(error: Exception) -> dict:
    """The body that tells of `error`."""
    status = status_of(error)
    param, code = getattr(error, "param", None), getattr(error, "code", None)
    if isinstance(error, RequestValidationError):
        message, param = _first_fault(error)
    elif isinstance(error, EngineDeadError):
        message = "The engine behind this server has died; the server has to be started anew."
    elif status == _SERVER_ERROR:
        message = f"The server failed on this request ({type(error).__name__}); its log says more."
    else:
        message = str(getattr(error, "detail", "") or error)
    kind = "invalid_request_error" if status < _SERVER_ERROR else "server_error"
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def _first_fault(error: RequestValidationError) -> tuple[str, str | None]:
    """The first thing wrong with a body, in words, and the field it is in."""
    fault = error.errors()[0]
    if fault["type"] == "json_invalid":
        return f"The body is no JSON: {fault['ctx']['error']}.", None
    field = ".".join(str(part) for part in fault["loc"][1:]) or None
    return f"{field or 'The body'}: {fault['msg']}", field
