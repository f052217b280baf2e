"""The settings that say where tables, records and the feed are kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from quant_assets.common.settings import Settings, SettingsError

PASSWORD = "p4ssw0rd-of-a-test"


def test_lake_is_in_the_data_folder_unless_a_url_is_set(tmp_path: Path) -> None:
    environment = {"QUANT_DATA_DIR": str(tmp_path)}
    assert Settings.from_environment(environment).lake_place == tmp_path / "lake"
    for url in ("s3://bucket", "s3://bucket/some/prefix", "file:///srv/lake"):
        assert Settings.from_environment({**environment, "QUANT_LAKE_URL": url}).lake_place == url
    assert Settings.from_environment({**environment, "QUANT_LAKE_URL": " "}).lake_url is None


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        (f"s3://key:{PASSWORD}@bucket/prefix", "AWS_SECRET_ACCESS_KEY"),
        (f"s3://bucket/prefix?secret={PASSWORD}", "AWS_ENDPOINT_URL"),
        (f"http://{PASSWORD}/lake", "begins with s3:// or file://"),
        ("lake", "begins with s3:// or file://"),
        ("s3://", "no bucket like s3://bucket/prefix"),
        ("s3://bucket:99/prefix", "no bucket like s3://bucket/prefix"),
        ("s3://[::1/prefix", "is not a URL"),
        ("file://host/folder", "file:///folder"),
        ("file:///", "file:///folder"),
    ],
)
def test_invalid_lake_url_names_the_variable_and_not_the_value(url: str, advice: str) -> None:
    with pytest.raises(SettingsError) as found:
        Settings.from_environment({"QUANT_LAKE_URL": url})
    assert str(found.value).startswith("QUANT_LAKE_URL ")
    assert advice in str(found.value)
    assert PASSWORD not in str(found.value)
