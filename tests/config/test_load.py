"""Loading a configuration returns settings, or reports all mistakes at once."""

from pathlib import Path

import pytest

from vmpooler.config import Loaded, load
from vmpooler.domain.errors import ConfigError
from vmpooler.providers.dummy import Dummy
from vmpooler.providers.vsphere import Vsphere
from vmpooler.settings import AUTO, General, Pool, Settings

ONE_POOL = "pools: [{name: debian, size: 1}]\n"


def loaded(text: str) -> Loaded:
    return load(text, environ={}, base=Path("/etc/vmpooler"))


def settings(text: str) -> Settings:
    return loaded(text).settings


def mistakes(text: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        loaded(text)
    return caught.value.mistakes


def test_one_pool_of_a_name_and_a_size_is_a_configuration() -> None:
    all_of_it = loaded(ONE_POOL)
    assert all_of_it.warnings == ()
    assert all_of_it.settings.pools == (Pool(name="debian", size=1, provider="dummy"),)
    assert all_of_it.settings.providers == {"dummy": Dummy()}
    assert all_of_it.settings.redis.server == "localhost"
    assert all_of_it.settings.auth is None
    assert all_of_it.settings.graphite is None


def test_every_mistake_is_reported_at_once_with_its_path() -> None:
    text = """
        config: {task_limt: 5, timeout: soon, vm_lifetime: .nan, log_format: xml, listen: "::", destroy_foreign: 1}
        redis: {port: 70000, database: true}
        graphit: {server: g}
        pools:
          - {name: debian, size: 1, alias: [fine, "not fine"]}
          - {name: debian, size: five, provider: dumy}
          - {alias: x, timeout: 0, provider: vsphere}
          - nonsense
        """
    assert mistakes(text) == (
        "graphit: unknown section; did you mean graphite?",
        "config.task_limt: unknown key; did you mean task_limit?",
        "config.log_format: expected plain or json, got 'xml'",
        "config.timeout: expected a number, got 'soon'",
        "config.vm_lifetime: expected a number, got '.nan'",
        "config.destroy_foreign: expected true or false, got '1'",
        "config.listen: expected a port, an address and port, or a Twisted endpoint such as tcp:4567, got '::'",
        "redis.port: expected at most 65535, got '70000'",
        "redis.database: expected a whole number, got 'true'",
        "pools[0].alias[1]: expected text that matches [A-Za-z0-9][A-Za-z0-9._-]{0,99}, got 'not fine'",
        "pools[1].size: expected a whole number, got 'five'",
        "pools[2].name: must be given",
        "pools[2].size: must be given",
        "pools[2].timeout: expected at least 0.01, got '0'",
        "pools[3]: expected a mapping, got text",
        "pools[1].name: pools[0] has that name already",
        "pools[1].provider: 'dumy' is not configured; did you mean dummy?",
        "pools[2].provider: 'vsphere' is not configured",
    )


def test_an_empty_listen_is_refused() -> None:
    assert mistakes(ONE_POOL + "config: {listen: ''}")[0].startswith("config.listen: expected a port")


def test_a_proxy_to_trust_is_an_address_a_network_or_unix() -> None:
    text = ONE_POOL + "limits: {trusted_proxies: [%s]}"
    good = ["10.0.0.0/8", "192.0.2.1", "2001:db8::/32", "fd00::1", "unix"]
    found = load(text % ", ".join(good), environ={}, base=Path("/")).settings
    assert found.limits.trusted_proxies == tuple(good)
    assert mistakes(text % "10.0.0.1/8, 1.2.3, proxy.example.com") == (
        "limits.trusted_proxies[2]: expected text that matches unix|[0-9A-Fa-f.:]+(/[0-9]{1,3})?, "
        "got 'proxy.example.com'",
        "limits.trusted_proxies[0]: expected an address, or a network such as 10.0.0.0/8, got '10.0.0.1/8'",
        "limits.trusted_proxies[1]: expected an address, or a network such as 10.0.0.0/8, got '1.2.3'",
    )


def test_a_configuration_without_pools_is_refused() -> None:
    assert mistakes("config: {}") == mistakes("") == mistakes("pools: []") == ("pools: at least one must be given",)


def test_a_key_that_is_given_twice_is_reported_with_its_line() -> None:
    assert mistakes(ONE_POOL + "redis:\n  port: 1\n  port: 2\n") == ("line 4: port is given twice",)
    assert mistakes(ONE_POOL + ":redis: {}\nredis: {}\n") == ("line 3: redis is given twice",)


def test_a_merged_mapping_may_be_overridden() -> None:
    pools = settings("pools: [&a {name: a, size: 1, timeout: 3}, &b {<<: *a, name: b}, {<<: *b, name: c, timeout: 4}]")
    assert [(pool.name, pool.timeout) for pool in pools.pools] == [("a", 3), ("b", 3), ("c", 4)]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("pools: [", "line 1, column 9: not valid YAML: expected the node content, but found '<stream end>'"),
        ("a: 1\n---\nb: 2\n", "line 2, column 1: not valid YAML: but found another document"),
        ("a: \0", "not valid YAML: a control character, or another one that YAML does not allow"),
        ("[" * 5000, "the configuration is nested too deeply"),
        ("#" * 2_000_000, "the configuration is larger than 1048576 characters"),
    ],
)
def test_text_that_is_no_yaml_is_one_mistake(text: str, problem: str) -> None:
    assert mistakes(text) == (problem,)


def test_text_stays_as_it_was_written_and_numbers_may_be_text() -> None:
    text = """
        config: {site_name: 1.10, prefix: 0123, domain: 2026-01-01, task_limit: '7', timeout: 2.5, ready_ttl: 1e1}
        pools: [{name: 10, size: '2', alias: 007}]
        """
    general, pool = settings(text).general, settings(text).pools[0]
    assert (general.site_name, general.prefix, general.domain) == ("1.10", "0123", "2026-01-01")
    assert (general.task_limit, general.timeout, general.ready_ttl) == (7, 2.5, 10)
    assert (pool.name, pool.size, pool.alias) == ("10", 2, ("007",))


def test_a_limit_of_clones_may_be_left_to_their_provider() -> None:
    assert settings(ONE_POOL + "config: {task_limit: auto}").general.task_limit == AUTO
    assert mistakes(ONE_POOL + "config: {task_limit: most, task_limit_max: auto}") == (
        "config.task_limit: expected a whole number or auto, got 'most'",
        "config.task_limit_max: expected a whole number, got 'auto'",
    )
    assert mistakes(ONE_POOL + "config: {task_limit: 0}") == ("config.task_limit: expected at least 1, got '0'",)


def test_nothing_as_a_value_means_the_default() -> None:
    text = "config: {timeout: null, ready_ttl: 3}\nredis:\nauth:\npools: [{name: a, size: 1, ready_ttl: ~, alias: }]"
    assert settings(text).general.timeout == General().timeout
    assert settings(text).auth is None
    assert settings(text).pools[0].ready_ttl == 3
    assert settings(text).pools[0].alias == ()


def test_a_pool_takes_what_it_does_not_say_from_config() -> None:
    text = """
        config: {timeout: 5, ready_ttl: 60, clone_target: c1}
        pools: [{name: a, size: 1}, {name: b, size: 1, timeout: 7, ready_ttl: 0, clone_target: c2}]
        """
    first, second = settings(text).pools
    assert (first.timeout, first.ready_ttl, first.clone_target) == (5, 60, "c1")
    assert (second.timeout, second.ready_ttl, second.clone_target) == (7, 0, "c2")


def test_a_name_may_be_an_alias_of_another_pool() -> None:
    pools = settings(
        "pools: [{name: a, size: 1, alias: b}, {name: b, size: 1, alias: [c]}, {name: d, size: 1, alias: [c]}]"
    )
    assert [pool.alias for pool in pools.pools] == [("b",), ("c",), ("c",)]


def test_relative_paths_start_from_the_folder_of_the_file() -> None:
    text = (
        ONE_POOL + "config: {logfile: /var/log/v.log}\nredis: {socket: run/r}\nproviders: {dummy: {filename: d.yaml}}"
    )
    found = settings(text)
    assert found.general.state_directory == "/etc/vmpooler/.vmpooler"
    assert found.general.logfile == "/var/log/v.log"
    assert found.redis.socket == "/etc/vmpooler/run/r"
    assert found.redis.tls_ca_file == ""
    assert found.providers["dummy"] == Dummy(filename="/etc/vmpooler/d.yaml")


def test_a_tagfilter_is_compiled_and_what_only_ruby_understands_is_refused() -> None:
    assert settings(ONE_POOL + r"tagfilter: {url: '(.*)\/'}").tagfilter["url"].search("a/b")
    found = mistakes(ONE_POOL + r"tagfilter: {a: '\h+\z', b: '[[:alpha:]]', c: [x], d: '('}")
    assert [mistake.split(":")[0] for mistake in found] == ["tagfilter.a", "tagfilter.b", "tagfilter.c", "tagfilter.d"]
    assert "what only Ruby understands must be rewritten" in found[0]


def test_what_is_not_served_yet_is_one_warning_for_many_pools() -> None:
    text = """
        statsd: {server: s}
        tracing: {enabled: true}
        config: {backend_weight: {a: 1}}
        redis: {reconnect_attempts: 3}
        pools:
          - {name: a, size: 1, network: n, dns_plugin: d}
          - {name: b, size: 1, network: n}
          - {name: c, size: 1, network: n}
        """
    assert loaded(text).warnings == tuple(
        f"{path}: not served by this version, ignored"
        for path in (
            "statsd",
            "tracing",
            "config.backend_weight",
            "redis.reconnect_attempts",
            "pools[0].network and 2 more like it",
            "pools[0].dns_plugin",
        )
    )


class TestProviders:
    VSPHERE = "{server: v, username: u, password: p}"

    def provider_of_a_pool(self, text: str) -> str:
        return settings("pools: [{name: a, size: 1, template: t/a, folder: f/a}]\n" + text).pools[0].provider

    def test_a_pool_that_names_none_is_on_vsphere_when_there_is_one_else_on_dummy(self) -> None:
        assert self.provider_of_a_pool("") == "dummy"
        assert self.provider_of_a_pool(f"vsphere: {self.VSPHERE}") == "vsphere"
        assert self.provider_of_a_pool("providers: {lab: {provider_class: dummy}}") == "lab"
        west = "west: {provider_class: vsphere, server: w, username: u}"
        assert self.provider_of_a_pool(f"providers: {{dummy: , {west}}}") == "west"
        assert self.provider_of_a_pool(f"providers: {{{west}, vsphere: {self.VSPHERE}}}") == "vsphere"

    def test_a_pool_must_choose_between_several(self) -> None:
        text = ONE_POOL + "providers: {one: {provider_class: dummy}, two: {provider_class: dummy}}"
        assert mistakes(text) == ("pools[0].provider: must be given: one or two",)

    def test_the_old_section_is_an_entry_of_providers(self) -> None:
        text = f"vsphere: {self.VSPHERE}\npools: [{{name: a, size: 1, provider: dummy}}]"
        assert settings(text).providers == {
            "vsphere": Vsphere(server="v", username="u", password="p"),
            "dummy": Dummy(),
        }
        assert loaded(text).warnings == ()
        assert mistakes(text + f"\nproviders: {{vsphere: {self.VSPHERE}}}") == (
            "vsphere: providers.vsphere is given too; keep one of them",
        )

    def test_a_pool_on_vsphere_needs_a_template_and_a_folder(self) -> None:
        assert mistakes(ONE_POOL + f"vsphere: {self.VSPHERE}") == (
            "pools[0].template: must be given for a pool on vsphere",
            "pools[0].folder: must be given for a pool on vsphere",
        )

    def test_a_plugin_of_the_originals_is_a_mistake_only_when_a_pool_uses_it(self) -> None:
        text = "providers: {cloud: {provider_class: gce, project: p}, ec2: {}}\npools: [{name: a, size: 1%s}]"
        assert loaded(text % "").warnings == (
            "providers.cloud: of class gce: not served by this version, ignored",
            "providers.ec2: of class ec2: not served by this version, ignored",
        )
        assert mistakes(text % ", provider: cloud") == (
            "pools[0].provider: cloud is of class gce, which this version does not serve",
        )

    def test_an_unknown_class_is_a_mistake(self) -> None:
        assert mistakes(ONE_POOL + "providers: {lab: {}, b: {provider_class: vmware}, '!': {}}") == (
            "providers.lab: no such class of provider; say provider_class: dummy or vsphere",
            "providers.b.provider_class: expected dummy or vsphere, got 'vmware'",
            "providers.'!': expected a name that matches [A-Za-z0-9][A-Za-z0-9._-]{0,99}",
        )


def test_a_name_that_means_something_else_in_replies_is_refused_for_pools_and_aliases() -> None:
    assert mistakes("pools: [{name: ok, size: 1}, {name: a, size: 1, alias: [b, domain]}, {name: okay, size: 1}]") == (
        "pools[0]: 'ok' means something else in replies, rename it",
        "pools[1]: 'domain' means something else in replies, rename it",
    )


def test_what_clients_may_set_is_served_without_a_warning() -> None:
    found = loaded(
        ONE_POOL
        + "config: {allowed_tags: [a, b], max_lifetime_upper_limit: 12}\n"
        + "auth: {provider: ldap, owner_only: true, ldap: {host: l, base: ou=a, user_object: uid}}\n"
        + "tagfilter: {a: '(.*)'}"
    )
    assert found.warnings == ()
    assert (found.settings.general.allowed_tags, found.settings.general.max_lifetime_upper_limit) == (("a", "b"), 12)
    assert found.settings.auth is not None
    assert found.settings.auth.owner_only
