"""The controller's side of board/arm64/check: starts the machine, triggers, and asserts what comes over the wire."""

import re
import select
import signal
import socket
import subprocess
import sys
import time
import zlib
from pathlib import Path

PATIENCE = 300  # s; an emulated processor on a busy machine is slow


class Machine:
    def __init__(self, work: Path):
        for name in ("monitor", "plc"):
            (work / name).unlink(missing_ok=True)
        arguments = ["-M", "virt", "-cpu", "cortex-a72", "-m", "1024", "-smp", "2", "-no-reboot", "-display", "none"]
        arguments += ["-nic", "none", "-kernel", "kernel", "-initrd", "initrd"]
        arguments += ["-append", "console=ttyAMA0 quiet panic=-1", "-serial", "stdio"]
        arguments += ["-monitor", "unix:monitor,server=on,wait=off"]
        arguments += ["-chardev", "socket,id=plc,path=plc,server=on,wait=off", "-device", "pci-serial,chardev=plc"]
        self.log = open(work / "console.log", "wb")
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(["qemu-system-aarch64", *arguments], cwd=work, stdin=pipe, stdout=pipe)
        self.console, self.wire, self.lines = b"", b"", []
        self.monitor, self.plc = self.connect(work / "monitor"), self.connect(work / "plc")

    def connect(self, path: Path) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        for _ in range(100):
            try:
                connection.connect(str(path))
                return connection
            except OSError:
                time.sleep(0.1)
        raise SystemExit(f"{path}: the emulator does not answer")

    def read(self, wait: float) -> None:
        sources = [self.process.stdout, self.plc, self.monitor]
        for source in select.select(sources, [], [], wait)[0]:
            if source is self.monitor:
                source.recv(4096)
            elif source is self.plc:
                self.wire += source.recv(4096)
                *whole, self.wire = self.wire.split(b"\r\n")
                self.lines += [checked(line) for line in whole if line]
            else:
                got = source.read1(4096)
                if not got:
                    raise SystemExit("the machine ended; see target/arm64/console.log")
                self.console += got
                self.log.write(got)
                self.log.flush()

    def until(self, what: str, found, patience: float = PATIENCE):
        end = time.monotonic() + patience
        while time.monotonic() < end:
            if (value := found()) is not None:
                print("ok  ", what, flush=True)
                return value
            self.read(0.2)
        raise SystemExit(f"FAILED: {what}; the wire said {self.lines[-8:]}, see target/arm64/console.log")

    def shell(self, line: str) -> None:
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def says(self, pattern: str):
        """What the console says from now on."""
        start = len(self.console)
        return lambda: re.search(pattern.encode(), self.console[start:])

    def seen(self, pattern: str):
        """What the console said at any time."""
        return lambda: re.search(pattern.encode(), self.console)

    def message(self, pattern: str):
        """The first message on the wire that matches, from now on."""
        start = len(self.lines)
        return lambda: next((m for line in self.lines[start:] if (m := re.fullmatch(pattern, line))), None)

    def trigger(self) -> None:
        """A pulse on line 3 of the GPIO chip."""
        self.monitor.sendall(b"system_powerdown\n")

    def send(self, command: str) -> None:
        self.plc.sendall(f"{command}*{zlib.crc32(command.encode()):08X}\r\n".encode())

    def levels(self, what: str, wanted: dict[int, str]) -> None:
        """The levels that the kernel shows for the box's lines."""

        def look():
            seen = self.says(r"LEVELS DONE")
            self.shell("cat /sys/kernel/debug/gpio; echo LEVELS DO''NE")
            start = len(self.console)
            while seen() is None:
                self.read(0.5)
            text = self.console[start:].decode(errors="replace")
            first = re.search(r"GPIOs (\d+)-\d+, .*pl061", text)
            lines = re.findall(r"gpio-(\d+) .*mudenet-edge.*\bout (hi|lo)", text)
            got = {int(number) - int(first[1]): level for number, level in lines} if first else {}
            return True if all(got.get(line) == level for line, level in wanted.items()) else None

        self.until(what, look, 60)


def start(machine: Machine, what: str) -> None:
    """Starts the box. Where an emulated processor needs longer for the recipe than a box may, it is asked for anew."""
    ready, loaded, resets = machine.message(r"H,\d+,Ready"), machine.says("recipe 1 loaded"), []
    machine.shell("/opt/mudenet-edge run --config box.toml --verbose & echo started")

    def look():
        if not resets and loaded() and machine.lines and machine.lines[-1].endswith(",Error"):
            machine.send("X")
            machine.send("C,1")
            resets.append(machine.lines[-1])
        return ready()

    machine.until(what, look)


def inspect(machine: Machine, verdict: str, what: str) -> None:
    result = machine.message(r"R,\d+,(OK|NG|ERR),.*")
    machine.trigger()
    got = machine.until(what, result)
    assert got[1] == verdict, got[0]


def records(machine: Machine) -> int:
    """Parts in the record."""
    counted = machine.says(r"RECORDS (\d+)")
    machine.shell("echo RECORDS $(cat /rec/*.jsonl /rec/*/*.jsonl 2>/dev/null | grep -c part)")
    while (found := counted()) is None:
        machine.read(0.2)
    return int(found[1])


def checked(line: bytes) -> str:
    text, _, crc = line.decode(errors="replace").rpartition("*")
    return text if f"{zlib.crc32(text.encode()):08X}" == crc else f"damaged {line!r}"


def main() -> None:
    # So that the emulator ends too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    machine = Machine(Path(sys.argv[1]))
    try:
        scenario(machine)
    finally:
        machine.process.kill()


def scenario(machine: Machine) -> None:
    machine.until("the machine boots", machine.says("MACHINE IS UP"))
    done = machine.says(r"doctor [012]\b")
    machine.shell("/opt/mudenet-edge doctor --config box.toml; echo doctor $?")
    machine.until("doctor looks at camera, lines and serial port", done)
    told = machine.says(r"IDLE\s+(\d+) kB")
    broken = machine.says("error 8: recipe not loaded")
    machine.shell("cp part.toml kept; cp broken.toml part.toml; /opt/mudenet-edge run --config box.toml &")
    machine.until("a box without its model runs", broken)
    machine.shell("echo IDLE $(grep VmRSS /proc/$!/status | cut -d: -f2); kill $!; wait $!; cp kept part.toml")
    idle = int(machine.until("and says how much memory it has", told)[1])
    print(f"     {idle} KiB")
    assert idle < 25 * 1024, idle

    start(machine, "the box becomes ready")
    machine.levels("READY and NG are active, ERROR is not (active low)", {0: "hi", 1: "lo", 2: "hi", 5: "hi"})

    parts = []
    for _ in range(3):
        result = machine.message(r"R,(\d+),(OK|NG|ERR),([\d.]*),1")
        machine.trigger()
        got = machine.until("an edge on line 3 is a result", result)
        parts.append(int(got[1]))
        assert got[2] == "OK", got[0]
    assert parts == list(range(parts[0], parts[0] + 3)), parts
    machine.levels("OK and STROBE are active", {1: "hi", 2: "lo", 4: "hi"})

    for day in ("2035-01-01 00:00:00", "2001-01-01 00:00:00"):
        machine.shell(f"date -s '{day}' && echo CLOCK S''ET")
        machine.until(f"the clock of the day jumps to {day[:4]}", machine.says("CLOCK SET"))
        inspect(machine, "OK", "a part is inspected all the same")

    machine.shell("dd if=/dev/zero of=/rec/fill bs=1k; echo DISK FU''LL")
    machine.until("the record's disk is full", machine.says("DISK FULL"))
    for _ in range(2):
        inspect(machine, "OK", "a part is inspected all the same")
    before = records(machine)
    machine.shell("rm /rec/fill")
    inspect(machine, "OK", "with room again a part is inspected")
    machine.until("and recorded", lambda: True if records(machine) > before else None)

    # Every 150 ms, for the emulated button is down for 100 ms: far faster than parts can be inspected.
    before, missed = len(machine.lines), machine.message(r"E,4")
    for _ in range(12):
        machine.trigger()
        machine.read(0)
        time.sleep(0.15)
    machine.until("a storm of triggers is missed triggers", missed)
    ready = machine.message(r"H,\d+,Ready")
    machine.until("after it the box is ready", ready)
    assert not [line for line in machine.lines[before:] if re.match(r"R,\d+,(NG|ERR)", line)], machine.lines[before:]
    machine.send("X")

    answer = machine.message(r"L,2,ERR")
    machine.send("C,2")
    machine.until("a recipe without its model is refused", answer)
    result = machine.message(r"E,4")
    machine.trigger()
    machine.until("a trigger meanwhile is a missed one", result)
    ready = machine.message(r"H,\d+,Ready")
    machine.send("X")
    machine.until("a reset makes the box ready", ready)

    machine.shell("echo 'name = \"strict\"' > part.toml; echo 'model = \"tray.onnx\"' >> part.toml; "
                  "echo 'threshold = -1.0' >> part.toml; kill -HUP $!")
    machine.until("SIGHUP loads the recipe anew", machine.message(r"L,1,OK"))
    result = machine.message(r"R,\d+,(OK|NG|ERR),.*")
    machine.trigger()
    assert machine.until("the stricter recipe judges", result)[1] == "NG"
    machine.levels("NG and STROBE are active", {1: "lo", 2: "hi", 4: "hi"})

    lost = machine.message(r"E,1")
    machine.shell("echo vivid.0 > /sys/bus/platform/drivers/vivid/unbind")
    machine.until("a camera that is gone is reported", lost)
    missed = machine.message(r"E,4")
    machine.trigger()
    machine.until("a trigger without a camera is a missed one", missed)
    ready = machine.message(r"H,\d+,Ready")
    machine.shell("echo vivid.0 > /sys/bus/platform/drivers/vivid/bind")
    machine.until("the box is ready again when the camera is back", ready)
    result = machine.message(r"R,\d+,(OK|NG|ERR),.*")
    machine.trigger()
    assert machine.until("and inspects", result)[1] == "NG"

    machine.until("a good part passes the gate", machine.seen(r"part \d+ at the gate: Passed"))
    machine.until("a missed one is rejected there", machine.seen(r"part \d+ at the gate: Rejected\(Missed\)"))
    judged = machine.seen(r"part \d+ at the gate: Rejected\((Judged|Held)\)")
    machine.until("and one that was judged so", judged)

    result, ended = machine.message(r"R,\d+,(OK|NG|ERR),.*"), machine.says(r"ended with 0")
    machine.send("T")
    time.sleep(0.5)
    machine.shell("kill $!; wait $!; echo ended with $?")
    machine.until("a part in the middle of a SIGTERM has its result", result)
    machine.until("SIGTERM ends it", ended)
    safe = machine.says(r"6 output lines are at their safe levels")
    machine.shell("/opt/mudenet-edge safe --config box.toml")
    machine.until("the safe levels are set, as a service does at its end", safe)

    start(machine, "it starts again")
    result = machine.message(r"R,(\d+),.*")
    machine.trigger()
    assert int(machine.until("with part numbers that go on", result)[1]) > parts[-1]
    machine.shell("kill -9 $!; echo killed")
    machine.until("kill -9", machine.says("killed"))
    time.sleep(1)
    machine.read(0)
    before = len(machine.lines)
    end = time.monotonic() + 4
    while time.monotonic() < end:
        machine.read(0.2)
    assert len(machine.lines) == before, machine.lines[before:]
    print("ok   the heartbeat is silent from then on: the gate's controller rejects", flush=True)
    print("all that the controller asked for came", flush=True)


main()
