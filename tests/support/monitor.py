"""A monitor: what it asks at the endpoint for metrics, and what it makes of the answer."""

from prometheus_client.openmetrics.parser import text_string_to_metric_families

from . import client

TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
# Not that of the listener for policies: two of one configuration cannot both have port 0 of it.
ADDRESS = "127.0.0.2:0"


def ask(server, target, *, method="GET", host="monitor"):
    """One request to the endpoint for metrics, and its response."""
    port = server.metrics
    with client.Connection(port, None, None, address=ADDRESS.partition(":")[0]) as connection:
        return connection.exchange(
            client.request(host, method=method, target=target, close=True), method
        )


def families(server, target="/metrics"):
    """All metric families by name, as another program's strict parser reads them."""
    response = ask(server, target)
    assert (response.status, response.header("Content-Type")) == (200, TYPE)
    return {family.name: family for family in text_string_to_metric_families(response.body.decode())}


def samples(server):
    """Every value by its name without the prefix and its labels: 'fetches_total{code="200"}'."""
    values = {}
    for family in families(server).values():
        for sample in family.samples:
            labels = ",".join(f'{key}="{value}"' for key, value in sample.labels.items())
            name = sample.name.removeprefix("mta_sts_httpd_")
            values[name + (f"{{{labels}}}" if labels else "")] = sample.value
    return values
