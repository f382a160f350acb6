"""Names in files of Ruby vmpooler. A key that this version does not serve is a warning; an unknown key is a mistake."""

from collections.abc import Mapping

from vmpooler.settings import General, Pool, Redis


def _keys(*lines: str) -> frozenset[str]:
    return frozenset(" ".join(lines).split())


SECTIONS = _keys("statsd prometheus tracing dns_configs rate_limits")

OLD_SECTIONS = ("vsphere",)
"""Sections of old files that stand for the entry of ``providers`` with that name."""

PROVIDER_CLASSES = _keys("gce ec2 azure")
"""The plug-ins of Ruby vmpooler that have no counterpart here."""

_LOOP = "check_loop_delay_min check_loop_delay_max check_loop_delay_decay"
_BREAKER = """
    circuit_breaker_enabled circuit_breaker_failure_threshold circuit_breaker_timeout
    circuit_breaker_half_open_attempts adaptive_timeout_enabled connection_pool_timeout_min
    connection_pool_timeout_max connection_pool_timeout_initial connection_pool_monitor_enabled
    connection_pool_monitor_interval
"""
_GENERAL = """
    ondemand_clone_limit max_ondemand_instances_per_request ondemand_request_ttl migration_limit
    timeout_notification max_tries retry_factor max_vm_retries
    manage_host_selection host_selection_max_age
    vsphere_timeout experimental_features usage_stats request_logger rate_limiting_enabled backend_weight
    purge_unconfigured_resources purge_unconfigured_folders extra_config check_ready_vm_hostname_for_mismatch
    dlq_enabled dlq_ttl dlq_max_entries purge_enabled purge_dry_run purge_interval max_pending_age max_ready_age
    max_completed_age max_orphaned_age health_check_enabled health_check_interval health_thresholds
"""
_POOL = """
    pool dns_plugin network timeout_notification check_hostname_for_mismatch
    snapshot_mainMem_ioBlockPages snapshot_mainMem_iowait
"""
_PROVIDER = """
    connection_pool_size connection_pool_timeout resources_allowlist folder_whitelist
    skip_dns_check_before_creating_vm purge_unconfigured_resources purge_unconfigured_folders
"""

PROVIDER_KEYS = _keys(_PROVIDER, _BREAKER)
"""Keys of every entry of ``providers``."""

KEYS: Mapping[type, frozenset[str]] = {
    General: _keys(_GENERAL, _LOOP, _BREAKER),
    Redis: _keys("connection_pool_size connection_pool_timeout reconnect_attempts"),
    Pool: _keys(_POOL, _LOOP),
}
