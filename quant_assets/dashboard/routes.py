"""Routes that check the parameters of a request before their endpoint runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from quant_assets.dashboard.query import QueryError, merge_parameters, reject_path_like


def route(path: str, endpoint: Callable[[Request], Awaitable[Response]], parameters: Collection[str] = ()) -> Route:
    """Return a route that rejects unknown parameters, and values that look like file paths."""

    async def checked(request: Request) -> Response:
        for value in request.path_params.values():
            reject_path_like(value)
        request.state.parameters = merge_parameters(request.query_params.multi_items())
        for name in request.query_params:  # empty ones too
            if name not in parameters:
                expected = f"expected {', '.join(parameters)}" if parameters else "this address takes no parameters"
                raise QueryError(f"unknown parameter {name:.40}: {expected}")
        return await endpoint(request)

    return Route(path, checked, name=path)


def parameters_of(request: Request) -> dict[str, str]:
    """Return the query parameters of a request, each once."""
    parameters: dict[str, str] = request.state.parameters
    return parameters
