"""Reads a box's metrics with Prometheus' own parsers, and holds the fleet's files against them.

usage: metrics.py URL FOLDER    prints the samples of URL; FOLDER has dashboard.json, prometheus.yml, rules.yml, compose.yml
"""

import json
import pathlib
import re
import sys
import urllib.request

import yaml
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as prometheus_text

url, folder = sys.argv[1], pathlib.Path(sys.argv[2])


def scrape(accept, kind, parser):
    request = urllib.request.Request(url, headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.headers["Content-Type"].startswith(kind), answer.headers["Content-Type"]
        return list(parser(answer.read().decode()))


def samples(families):
    text = {}
    for family in families:
        assert family.documentation, family.name
        for sample in family.samples:
            if sample.name.endswith("_created"):
                continue
            labels = dict(sample.labels)
            if "le" in labels:
                # 1.0 in the one form is 1 in the other.
                labels["le"] = float(labels["le"])
            labels = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
            text[sample.name + (f"{{{labels}}}" if labels else "")] = sample.value
    return text


wide = samples(scrape("application/openmetrics-text;version=1.0.0", "application/openmetrics-text", open_metrics))
plain = samples(scrape("text/plain;version=0.0.4", "text/plain; version=0.0.4", prometheus_text))
steady = {name for name in wide if "status_age" not in name}
assert {name: wide[name] for name in steady} == {name: plain.get(name) for name in steady}, "both forms say the same"

# Every metric that a dashboard or an alert asks for is one that a box has, and every file is what its reader takes.
names = {re.sub(r"\{.*", "", name) for name in wide}
dashboard = json.loads((folder / "dashboard.json").read_text())
queries = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
queries += [v["query"]["query"] for v in dashboard["templating"]["list"] if v["type"] == "query"]
rules = yaml.safe_load((folder / "rules.yml").read_text())
queries += [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
assert len(queries) > 15, queries
for query in queries:
    asked = re.findall(r"\bmudenet_\w+", query)
    assert asked, query
    for name in asked:
        assert name in names, f"{query}: no box has {name}"
    assert query.count("(") == query.count(")") and query.count("{") == query.count("}"), query
ids = [panel["id"] for panel in dashboard["panels"]]
assert len(set(ids)) == len(ids)
boxes = [panel["gridPos"] for panel in dashboard["panels"]]
assert all(box["x"] + box["w"] <= 24 for box in boxes)

compose = yaml.safe_load((folder / "compose.yml").read_text())
scrape_config = yaml.safe_load((folder / "prometheus.yml").read_text())
assert {"mosquitto", "prometheus", "grafana"} <= set(compose["services"])
assert [config["job_name"] for config in scrape_config["scrape_configs"]] == ["mudenet-edge"]
for name, service in compose["services"].items():
    for volume in service.get("volumes", []):
        source = volume.split(":")[0]
        if source.startswith("./"):
            assert (folder / source).exists(), f"{name}: {source} is not there"
        else:
            assert source in compose["volumes"], f"{name}: {source} is no volume"
print(json.dumps(wide))
