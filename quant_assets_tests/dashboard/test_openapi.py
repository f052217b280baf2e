"""The OpenAPI document matches what the API returns."""

from __future__ import annotations

from typing import Any

import jsonschema_rs
import pytest

from quant_assets.dashboard import api
from quant_assets.dashboard.query import Filters
from quant_assets_tests.dashboard.serving import Site


@pytest.fixture(scope="module")
def described(site: Site) -> dict[str, Any]:
    data: dict[str, Any] = site.get("/api/openapi.json").json()
    return data


def schema_problems(described: dict[str, Any], path: str, status: int, answer: object) -> list[str]:
    schema = described["paths"][path]["get"]["responses"][str(status)]["content"]["application/json"]["schema"]
    whole = {**schema, "components": described["components"]}
    return [error.message for error in jsonschema_rs.Draft202012Validator(whole).iter_errors(answer)]


def test_openapi_describes_exactly_the_routes_of_the_api(site: Site, described: dict[str, Any]) -> None:
    served = {route.path.replace(":path", "") for route in api.router.routes}
    assert set(described["paths"]) == served
    assert described["openapi"].startswith("3.1")


def test_openapi_lists_every_filter_and_path_parameter(described: dict[str, Any]) -> None:
    given = described["paths"]["/api/results"]["get"]["parameters"]
    assert [parameter["name"] for parameter in given] == [*Filters.model_fields]
    assert all(parameter["description"] for parameter in given)
    for path, item in described["paths"].items():
        in_path = {p["name"] for p in item["get"].get("parameters", []) if p["in"] == "path"}
        assert in_path == {part.strip("{}") for part in path.split("/") if part.startswith("{")}


def test_every_openapi_reference_resolves(described: dict[str, Any]) -> None:
    def references(value: Any) -> list[str]:
        if isinstance(value, dict):
            own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
            return own + [found for part in value.values() for found in references(part)]
        return [found for part in value for found in references(part)] if isinstance(value, list) else []

    for reference in references(described):
        found: Any = described
        for step in reference.removeprefix("#/").split("/"):
            found = found[step]


def test_responses_match_their_openapi_schema(site: Site, described: dict[str, Any]) -> None:
    signal = site.feed["signals"][0]
    market = "/api/signals/{exchange}/{symbol}"
    asked = [
        ("/api/results", "/api/results", 200),
        ("/api/results", "/api/results?limit=3&fields=symbol", 200),
        ("/api/results", "/api/results?action=BUY", 400),
        ("/api/results", "/api/results?window=never", 404),
        (market, f"/api/signals/{signal['exchange']}/{signal['symbol']}", 200),
        (market, "/api/signals/NOWHERE/NOTHING", 404),
        ("/api/record", "/api/record", 200),
        ("/api/record", "/api/record?days=0", 400),
        ("/api/trades", "/api/trades?limit=5", 200),
        ("/api/trades", "/api/trades?outcome=won", 400),
        ("/api/windows", "/api/windows", 200),
        ("/api/health", "/api/health", 200),
        ("/api/openapi.json", "/api/openapi.json", 200),
    ]
    for path, address, status in asked:
        answer = site.get(address)
        assert answer.status_code == status
        assert schema_problems(described, path, status, answer.json()) == []


def test_error_responses_match_their_openapi_schema(own_site: Site) -> None:
    described = own_site.get("/api/openapi.json").json()
    own_site.write(b"")
    for path in ("/api/results", "/api/health"):
        answer = own_site.get(path)
        assert schema_problems(described, path, 503, answer.json()) == []
