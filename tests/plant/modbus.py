"""A controller on pymodbus.

usage: modbus.py control PORT FIRST    the whole handshake, by coils; prints the parts it saw
       modbus.py look PORT             a box that may only be read
"""

import json
import sys
import time

from pymodbus.client import ModbusTcpClient

READY, BUSY, OK, NG, ERROR, HEARTBEAT, MISSED, OVERRUN, STROBE, RECIPE_ACK, ALARM = range(11)
TRIGGER, ACK, RECIPE_STROBE, RESET = range(4)
port = int(sys.argv[2])


def connect():
    client = ModbusTcpClient("127.0.0.1", port=port, timeout=10, retries=0)
    assert client.connect()
    return client


def inputs(client):
    answer = client.read_discrete_inputs(0, count=11)
    assert not answer.isError(), answer
    return answer.bits[:11]


def registers(client, address=0, count=25):
    answer = client.read_input_registers(address, count=count)
    assert not answer.isError(), answer
    return answer.registers


def wide(words, at):
    return words[at] << 16 | words[at + 1]


def wait(what, so):
    for _ in range(3000):
        if so():
            return
        time.sleep(0.01)
    raise AssertionError(f"{what}: did not come")


def write(client, coil, level):
    answer = client.write_coil(coil, level)
    assert not answer.isError(), answer


def judged(client):
    words = registers(client)
    return wide(words, 10) + wide(words, 12) + wide(words, 14)


def look():
    client = connect()
    wait("READY", lambda: inputs(client)[READY])
    assert len(registers(client)) == 25 and registers(client)[24] == 1
    for answer in (client.write_coil(TRIGGER, True), client.write_coils(0, [True] * 4),
                   client.write_register(0, 2), client.write_registers(0, [2])):
        assert answer.isError() and answer.exception_code == 1, answer
    assert client.read_coils(0, count=4).bits[:4] == [False] * 4
    print(json.dumps({}))


def control():
    first = int(sys.argv[3])
    client, parts = connect(), []
    wait("READY", lambda: inputs(client)[READY])
    words = registers(client)
    assert words[:6] == [0, 0, 0, 0x8000, 0, 1], "no result yet"
    assert words[6] == 4 and not any(inputs(client)[line] for line in (BUSY, OK, STROBE, MISSED, OVERRUN, ALARM))
    settings = wide(words, 20)

    # A level held high is one part.
    write(client, TRIGGER, True)
    wait("the first result", lambda: judged(client) == 1)
    write(client, TRIGGER, True)
    time.sleep(0.3)
    assert judged(client) == 1
    words = registers(client)
    parts.append(wide(words, 0))
    assert words[2:6] == [1, 0, 610, 1], words
    wait("STROBE", lambda: inputs(client)[STROBE])
    assert inputs(client)[OK] and not inputs(client)[NG]
    write(client, TRIGGER, False)

    # Another recipe, as by the lines.
    assert not client.write_register(0, 3).isError()
    assert client.read_holding_registers(0, count=1).registers == [3]
    write(client, RECIPE_STROBE, True)
    wait("RECIPE_ACK", lambda: inputs(client)[RECIPE_ACK])
    assert not inputs(client)[READY]
    write(client, RECIPE_STROBE, False)
    wait("READY", lambda: inputs(client)[READY] and not inputs(client)[RECIPE_ACK])
    assert wide(registers(client), 20) != settings, "another recipe is another checksum"

    # A result that nobody reads before the next one comes is an overrun for this client, and not for another.
    other = connect()
    judged(other)
    for _ in range(2):
        before = wide(other.read_input_registers(8, count=2).registers, 0)
        write(client, TRIGGER, True)
        write(client, TRIGGER, False)
        wait("a result", lambda: judged(other) == before + 1)
        wait("READY", lambda: inputs(other)[READY])
        parts.append(wide(registers(other), 0))
    assert inputs(client)[OVERRUN] and not inputs(other)[OVERRUN]
    assert registers(client)[5] == 3
    write(client, RESET, True)
    assert not inputs(client)[OVERRUN]
    write(client, RESET, False)

    # A recipe that does not exist: ERROR, and the one before stays.
    client.write_register(0, 99)
    write(client, RECIPE_STROBE, True)
    wait("ERROR", lambda: inputs(client)[ERROR] and not inputs(client)[READY])
    wait("the error's code", lambda: registers(client)[7] == 8)
    write(client, TRIGGER, True)
    wait("MISSED", lambda: inputs(client)[MISSED])
    write(client, TRIGGER, False)
    write(client, RECIPE_STROBE, False)
    write(client, RESET, True)
    wait("READY", lambda: inputs(client)[READY] and not inputs(client)[MISSED])
    write(client, RESET, False)
    assert wide(registers(client), 16) == 1, "one missed"

    # Beyond the map.
    for answer, code in ((client.read_input_registers(20, count=6), 2), (client.read_discrete_inputs(11, count=1), 2),
                         (client.read_coils(0, count=5), 2), (client.write_coils(2, [True] * 3), 2),
                         (client.write_register(1, 1), 2), (client.write_registers(0, [1, 2]), 2),
                         (client.mask_write_register(address=0), 1)):
        assert answer.isError() and answer.exception_code == code, answer

    # Two more may connect, and a fifth may not.
    more = [connect(), connect()]
    fifth = ModbusTcpClient("127.0.0.1", port=port, timeout=5, retries=0)
    fifth.connect()
    try:
        refused = fifth.read_coils(0, count=1).isError()
    except Exception:
        refused = True
    assert refused
    fifth.close()

    # With the last connection the coils fall, so that the next one's trigger is an edge.
    write(client, TRIGGER, True)
    wait("a result", lambda: judged(client) == 4)
    for open_client in (client, other, *more):
        open_client.close()
    time.sleep(0.5)
    client = connect()
    assert client.read_coils(0, count=4).bits[:4] == [False] * 4
    parts.append(wide(registers(client), 0))
    assert parts == [first, first + 1, first + 2, first + 4], parts
    client.close()
    print(json.dumps({"parts": parts}))


{"look": look, "control": control}[sys.argv[1]]()
