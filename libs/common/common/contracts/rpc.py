"""The shape of a call between services: one subject, one request Struct, one response Struct."""

from typing import Generic, TypeVar

import msgspec

from common.contracts.errors import ServiceError

RequestT = TypeVar("RequestT", bound=msgspec.Struct)
ResponseT = TypeVar("ResponseT", bound=msgspec.Struct)


class Method(msgspec.Struct, Generic[RequestT, ResponseT], frozen=True):
    """One RPC on `rpc.<service>.<verb>.v1`; `timeout_s` is the caller's default deadline."""

    subject: str
    request: type[RequestT]
    response: type[ResponseT]
    timeout_s: float = 2.0


class RpcError(msgspec.Struct, frozen=True):
    """The body of a refused call; rebuilt by the client as a ServiceError with the same code and status."""

    code: str
    message: str
    status: int = 500
    param: str | None = None
    retry_after_s: float | None = None

    @classmethod
    def of(cls, error: ServiceError) -> "RpcError":
        """What tells `error` to the caller."""
        return cls(error.error_code, error.message, error.error_status, error.param, error.retry_after_s)

    def as_error(self) -> ServiceError:
        """The same refusal on the caller's side."""
        return ServiceError(
            self.message,
            param=self.param,
            retry_after_s=self.retry_after_s,
            code=self.code,
            status=self.status,
        )
