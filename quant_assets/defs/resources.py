"""The resources of assets, schedules and sensors, and the executor."""

from collections.abc import Iterator

import dagster as dg

from quant_assets.common.settings import WEBHOOK_VARIABLE
from quant_assets.orchestration.configuration import require_configuration_of_run
from quant_assets.orchestration.exchange_source import ExchangeSource
from quant_assets.orchestration.io_managers import (
    TABLES,
    WINDOW_DOCUMENTS,
    WINDOW_TABLES,
    DocumentIOManager,
    TableIOManager,
)
from quant_assets.orchestration.project import Project
from quant_assets.orchestration.resources import (
    CandleFolder,
    CostsFile,
    FeedFile,
    Folders,
    MarketRules,
    Notifier,
    Providers,
    RefreshPolicyFile,
    Retention,
    Strategies,
)
from quant_assets.orchestration.window_leases import WindowLeases, window_leases
from quant_assets.signals import FeaturesCache


def build(project: Project) -> dg.Definitions:
    """Return the resources and the executor."""
    settings, lake = project.settings, project.lake

    @dg.resource(description="Checks that the machine has the configuration of the one that launched the run.")
    def same_configuration(context: dg.InitResourceContext) -> None:
        require_configuration_of_run(context.run, settings)

    @dg.resource(description="Holds leases of the run's newest windows.", required_resource_keys={"same_configuration"})
    def run_leases(context: dg.InitResourceContext) -> Iterator[WindowLeases]:
        tags = {} if context.run is None else context.run.tags
        with window_leases(tags, settings, project.clock.now(), project.progress) as leases:
            yield leases

    # Each step of each run needs one of the three, and Dagster makes them before the first step.
    @dg.io_manager(required_resource_keys={"same_configuration"})
    def io_manager(_context: dg.InitResourceContext) -> TableIOManager:
        return TableIOManager(lake)

    @dg.io_manager(required_resource_keys={"run_leases"})
    def window_io_manager(context: dg.InitResourceContext) -> TableIOManager:
        return TableIOManager(lake, context.resources.run_leases)

    @dg.io_manager(required_resource_keys={"run_leases"})
    def document_io_manager(context: dg.InitResourceContext) -> DocumentIOManager:
        return DocumentIOManager(lake, context.resources.run_leases)

    return dg.Definitions(
        # One process, since a step takes milliseconds, and the next step finds its inputs in memory.
        executor=dg.in_process_executor,
        resources={
            "same_configuration": same_configuration,
            "run_leases": run_leases,
            TABLES: io_manager,
            WINDOW_TABLES: window_io_manager,
            WINDOW_DOCUMENTS: document_io_manager,
            "lake": lake,
            "progress": project.progress,
            "clock": project.clock,
            "features_cache": FeaturesCache(),
            "providers": Providers(
                base_url=settings.base_url,
                calls_per_minute=settings.calls_per_minute,
                key_variable=settings.key_variable,
                origin=settings.origin,
                data_dir=str(settings.data_dir),
                budget_dir=None if settings.budget_dir is None else str(settings.budget_dir),
                lake_url=settings.lake_url,
                database_variable=settings.database_variable,
                origin_problem=project.origin_problem,
            ),
            "exchange_source": ExchangeSource(
                data_dir=str(settings.data_dir),
                budget_dir=None if settings.budget_dir is None else str(settings.budget_dir),
                lake_url=settings.lake_url,
                database_variable=settings.database_variable,
                addresses=dict(settings.exchange_urls),
            ),
            "candle_folder": CandleFolder(path=str(settings.candle_folder)),
            "market_rules": MarketRules(path=str(settings.rules_path)),
            "strategies": Strategies((*project.strategies, *project.not_loaded), settings.strategies_path),
            "refresh_policy": RefreshPolicyFile(path=str(settings.policy_path)),
            "costs_file": CostsFile(path=str(settings.evaluation_path)),
            "retention": Retention(path=str(settings.retention_path)),
            "folders": Folders(data=str(settings.data_dir), store=str(settings.store_dir)),
            "notifier": Notifier(address_variable=WEBHOOK_VARIABLE),
            "feed_file": FeedFile(
                path=str(settings.feed_place),
                locks=str(settings.data_dir),
                database_variable=settings.database_variable,
            ),
        },
    )
