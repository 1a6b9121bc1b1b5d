"""OpenAI's errors: `{"error": {"message", "type", "param", "code"}}` and the headers of a status."""

from typing import NoReturn

import msgspec


class OpenAIError(Exception):
    """An error to be answered with; `headers` are added to those of every answer."""

    def __init__(
        self, status: int, message: str, kind: str, *, param: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers: list[tuple[bytes, bytes]] = []
        error = {"message": message, "type": kind, "param": param, "code": code}
        self.body = msgspec.json.encode({"error": error})


SERVER_ERROR = "The server had an error while processing your request. Sorry about that!"

# What `sim-<status>` answers: message, type, code. Any other status has the text of a server error.
SCRIPTED = {
    400: ("We could not process this request.", "invalid_request_error", "invalid_value"),
    401: ("Incorrect API key provided.", "invalid_request_error", "invalid_api_key"),
    402: ("Your account balance is too low.", "insufficient_quota", "insufficient_quota"),
    403: ("Project does not have access to this model.", "invalid_request_error", "model_not_found"),
    404: (
        "The model does not exist or you do not have access to it.",
        "invalid_request_error",
        "model_not_found",
    ),
    429: ("Rate limit reached for requests. Please try again in 1s.", "requests", "rate_limit_exceeded"),
    503: ("That model is currently overloaded with other requests.", "server_error", "overloaded"),
}


def scripted_error(status: int) -> OpenAIError:
    """The error of the fault `<status>`."""
    message, kind, code = SCRIPTED.get(status, (SERVER_ERROR, "server_error", None))
    error = OpenAIError(status, message, kind, code=code)
    if status == 429:
        error.headers = [(b"retry-after", b"1"), (b"retry-after-ms", b"1000")]
    return error


def invalid(message: str, param: str | None, code: str | None = None) -> OpenAIError:
    """A 400 about one parameter."""
    return OpenAIError(400, message, "invalid_request_error", param=param, code=code)


def model_not_found(model: str) -> OpenAIError:
    """The 404 for a model that is not there."""
    message = f"The model '{model}' does not exist or you do not have access to it."
    return OpenAIError(404, message, "invalid_request_error", code="model_not_found")


def raise_invalid_body(error: msgspec.DecodeError) -> NoReturn:
    """Turns msgspec's complaint (`Expected …, got … - at `$.messages[0]``) into the vendor's."""
    if not isinstance(error, msgspec.ValidationError):
        hint = "(HINT: This likely means you aren't using your HTTP library correctly.)"
        raise invalid(f"We could not parse the JSON body of your request. {hint}", None)
    text, _, path = str(error).partition(" - at `$")
    param = path.rstrip("`").lstrip(".") or None
    if text.startswith("Object missing required field"):
        name = ".".join(filter(None, (param, text.split("`")[1])))
        raise invalid(f"Missing required parameter: '{name}'.", name, "missing_required_parameter")
    code = "invalid_type" if ", got" in text else "invalid_value"
    raise invalid(f"Invalid value for '{param}': {text}.", param, code)
