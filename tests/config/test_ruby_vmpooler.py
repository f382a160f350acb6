"""Files of operators of Ruby vmpooler: symbol keys, and sections of all its versions."""

from pathlib import Path

from vmpooler.config import Loaded, load
from vmpooler.providers.vsphere import Vsphere
from vmpooler.settings import Auth, Graphite, Graphs, Ldap, Pool

FIRST = """\
---
:vsphere:
  server: 'vcenter.example.org'
  username: 'pooler'
  password: 'correct horse'

:redis:
  server: 'redis.example.org'

:config:
  logfile: '/var/log/pooler.log'

:pools:
  - name: 'alma-9-x86_64'
    alias: 'alma-9'
    template: 'Images/alma-9-x86_64'
    folder: 'Pools/alma-9-x86_64'
    pool: 'Pools/alma-9-x86_64'
    datastore: 'ssd-1'
    size: 3
  - name: 'suse-15-x86_64'
    alias: [ 'suse-15', 'suse' ]
    template: 'Images/suse-15-x86_64'
    folder: 'Pools/suse-15-x86_64'
    datastore: 'ssd-1'
    size: 2
    ready_ttl: 720
"""

LATEST = """\
---
:providers:
  :vcenter-east:
    server: 'east.example.org'
    username: 'pooler'
    password: 'battery staple'
    provider_class: 'vsphere'
    connection_pool_size: 4
  :vsphere:
    server: 'vcenter.example.org'
    username: 'pooler'
    password: 'correct horse'
  :dummy:
    filename: '/tmp/imaginary.yaml'
    is_ready_timeout: 5
:redis:
  server: 'redis.example.org'
  connection_pool_size: 10
:statsd:
  server: 'statsd.example.org'
:graphite:
  server: 'graphite.example.org'
:prometheus:
  prefix: 'test'
:dns_configs:
  :main:
    dns_class: dynamic-dns
    domain: 'example.org'
:auth:
  provider: 'ldap'
  :ldap:
    host: 'ldap.example.org'
    port: 636
    encryption:
      :method: :simple_tls
      :tls_options:
        :ssl_version: 'TLSv1_2'
    base: 'ou=people,dc=example,dc=org'
    user_object: 'uid'
:tagfilter:
  link: '^([a-z]+)\\/'
:config:
  site_name: 'example'
  task_limit: 5
  timeout_notification: 5
  vm_checktime: 1
  vm_lifetime: 6
  vm_lifetime_auth: 48
  allowed_tags: 'project'
  prefix: 'ex-'
  experimental_features: true
  backend_weight:
    'one': 70
    'two': 30
:pools:
  - name: 'alma-9-x86_64'
    template: 'Images/alma-9-x86_64'
    folder: 'Pools/alma-9-x86_64'
    size: 3
    provider: vcenter-east
    dns_plugin: 'main'
    snapshot_mainMem_ioBlockPages: '2048'
  - name: 'suse-15-x86_64'
    template: 'Images/suse-15-x86_64'
    folder: 'Pools/suse-15-x86_64'
    size: '2'
    create_linked_clone: false
"""


def loaded(text: str) -> Loaded:
    return load(text, environ={}, base=Path("/etc/vmpooler"))


def test_a_file_of_the_first_years_loads() -> None:
    found = loaded(FIRST)
    assert found.settings.providers == {
        "vsphere": Vsphere(server="vcenter.example.org", username="pooler", password="correct horse")
    }
    assert found.settings.redis.server == "redis.example.org"
    assert found.settings.general.logfile == "/var/log/pooler.log"
    assert found.settings.graphite is None
    assert found.settings.pools[0] == Pool(
        name="alma-9-x86_64",
        alias=("alma-9",),
        template="Images/alma-9-x86_64",
        folder="Pools/alma-9-x86_64",
        datastore="ssd-1",
        size=3,
        provider="vsphere",
    )
    assert found.settings.pools[1].alias == ("suse-15", "suse")
    assert found.settings.pools[1].ready_ttl == 720
    assert [warning.split(":")[0] for warning in found.warnings] == ["pools[0].pool"]


def test_a_file_of_the_latest_version_loads() -> None:
    found = loaded(LATEST).settings
    assert list(found.providers) == ["vcenter-east", "vsphere", "dummy"]
    assert [pool.provider for pool in found.pools] == ["vcenter-east", "vsphere"]
    assert [pool.size for pool in found.pools] == [3, 2]
    assert [pool.create_linked_clone for pool in found.pools] == [True, False]
    base = ("ou=people,dc=example,dc=org",)
    ldap = Ldap(host="ldap.example.org", port=636, encryption="simple_tls", base=base, user_object=("uid",))
    assert found.auth == Auth(provider="ldap", ldap=ldap)
    assert found.graphite == Graphite(server="graphite.example.org")
    assert found.graphs == Graphs(server="graphite.example.org")
    assert found.general.allowed_tags == ("project",)
    assert (found.general.vm_lifetime, found.general.vm_lifetime_auth) == (6, 48)
    match = found.tagfilter["link"].search("main/7")
    assert match is not None
    assert match[1] == "main"


def test_what_is_not_served_of_the_latest_version_is_a_warning() -> None:
    assert {warning.split(":")[0] for warning in loaded(LATEST).warnings} == {
        "statsd",
        "prometheus",
        "dns_configs",
        "config.timeout_notification",
        "config.experimental_features",
        "config.backend_weight",
        "redis.connection_pool_size",
        "providers.dummy.is_ready_timeout",
        "providers.vcenter-east.connection_pool_size",
        "pools[0].dns_plugin",
        "pools[0].snapshot_mainMem_ioBlockPages",
    }


def test_metrics_are_read_where_they_are_sent_unless_the_file_says_otherwise() -> None:
    sent = FIRST + ":graphite:\n  server: 'carbon.example.org'\n  prefix: 'lab'\n"
    assert loaded(FIRST).settings.graphs is None
    assert loaded(sent).settings.graphs == Graphs(server="carbon.example.org", prefix="lab")
    graphs = ":graphs:\n  server: 'graphs.example.org:8080'\n  prefix: 'all.lab'\n"
    for text in (sent + graphs, FIRST + graphs):
        assert loaded(text).settings.graphs == Graphs(server="graphs.example.org:8080", prefix="all.lab")
