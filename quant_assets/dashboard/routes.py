"""An address of the server with the parameters it takes; a request with anything else never reaches its endpoint."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from quant_assets.dashboard.query import QueryError, gathered, refuse_path_like


def route(path: str, endpoint: Callable[[Request], Awaitable[Response]], parameters: Collection[str] = ()) -> Route:
    """Return a route that refuses a parameter other than these, and whatever looks like a path, in any of them."""

    async def checked(request: Request) -> Response:
        for value in request.path_params.values():
            refuse_path_like(value)
        request.state.given = gathered(request.query_params.multi_items())
        for name in request.query_params:  # an empty one too
            if name not in parameters:
                there = f"known are {', '.join(parameters)}" if parameters else "there are none here"
                raise QueryError(f"there is no parameter {name:.40}; {there}")
        return await endpoint(request)

    return Route(path, checked, name=path)


def given(request: Request) -> dict[str, str]:
    """Return the parameters of a request, each once."""
    found: dict[str, str] = request.state.given
    return found
