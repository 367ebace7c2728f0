"""A Sparkplug host on pysparkplug's protobuf: listens, asks for a rebirth, checks every message until the death.

usage: sparkplug.py PORT GROUP NODE
"""

import json
import sys

import paho.mqtt.client as mqtt
from pysparkplug._protobuf import DataType, Payload

port, group, node = int(sys.argv[1]), sys.argv[2], sys.argv[3]
births, parts, names, state = 0, [], {}, {}
sequence = bd_seq = None
FIELDS = {
    "UInt32": "int_value", "UInt64": "long_value", "Float": "float_value", "Double": "double_value",
    "Boolean": "boolean_value", "String": "string_value", "DateTime": "long_value",
}


def value(metric):
    if metric.is_null:
        assert metric.WhichOneof("value") is None, metric
        return None
    kind = DataType.Name(metric.datatype)
    assert metric.WhichOneof("value") == FIELDS[kind], metric
    return getattr(metric, FIELDS[kind])


def birth(payload):
    global births, sequence, bd_seq
    assert payload.seq == 0 and payload.timestamp > 1_600_000_000_000, payload
    found = {metric.name: value(metric) for metric in payload.metrics}
    assert found["Node Control/Rebirth"] is False
    assert births == 0 or found["bdSeq"] == bd_seq, "the same connection"
    bd_seq, sequence = found["bdSeq"], 0
    names.clear()
    names.update({metric.alias: metric.name for metric in payload.metrics if metric.HasField("alias")})
    assert len(names) == len(found) - 2, "every metric but two has an alias of its own"
    state.update(found)
    births += 1
    if births == 1:
        command = Payload(timestamp=1)
        metric = command.metrics.add(name="Node Control/Rebirth", datatype=DataType.Value("Boolean"))
        metric.boolean_value = True
        client.publish(f"spBv1.0/{group}/NCMD/{node}", command.SerializeToString())


def data(payload):
    global sequence
    sequence = (sequence + 1) % 256
    assert payload.seq == sequence, (payload.seq, sequence)
    found = {names[metric.alias]: value(metric) for metric in payload.metrics}
    assert all(not metric.name for metric in payload.metrics)
    state.update(found)
    if "Part/Id" in found:
        if found["Part/Verdict"] != "fault":
            assert (found["Part/Score"] > found["Part/Threshold"]) == (found["Part/Verdict"] == "reject"), found
        parts.append([found[f"Part/{key}"] for key in ("Id", "Sequence", "Verdict", "Recipe")])


def death(payload):
    assert [metric.name for metric in payload.metrics] == ["bdSeq"] and not payload.HasField("seq")
    assert value(payload.metrics[0]) == bd_seq, payload
    print(json.dumps({"births": births, "parts": parts, "accepted": state["Counters/Accepted"]}), flush=True)
    client.disconnect()


def on_message(_client, _userdata, message):
    _, its_group, kind, its_node = message.topic.split("/")
    assert (its_group, its_node, message.retain) == (group, node, False), message.topic
    if kind == "NCMD":
        return
    payload = Payload.FromString(message.payload)
    {"NBIRTH": birth, "NDATA": data, "NDEATH": death}[kind](payload)


def on_subscribe(*_):
    print("listening", flush=True)


client = mqtt.Client()
client.on_message, client.on_subscribe = on_message, on_subscribe
client.connect("127.0.0.1", port)
client.subscribe(f"spBv1.0/{group}/#", 1)
client.loop_forever()
