#!/usr/bin/env python3
"""What three copies of a row cost: one set pushed to two clusters of six processes, segment by
segment in turn, one with replication factor 1 and one with 3. With --kill an ingester of the second
is then killed under single pushes and queries, and comes back with an empty disk.

Run it in a network namespace of its own, so that the bytes of its loopback are the cluster's:

    unshare -n sh -c 'ip link set lo up && exec python3 bench/cluster.py --bin target/release/runelog --set SET --root DIR'

Bytes on the network are those of the loopback, pushes of the client included; they are told apart
by the sizes of its requests.
"""
import argparse
import json
import os
import shutil
import signal
import statistics
import time

import ingest
import suite
import systems as S

INGESTERS = ("ingester-0", "ingester-1", "ingester-2")


class Member(S.Runelog):
    """One process of a ring, with a folder of its own over the bucket of all."""

    def __init__(self, ring, name, port):
        super().__init__(name, {"bin": ring.spec["bin"], "dir": name}, ring.dir, port)
        self.ring, self.target = ring, name.rstrip("-0123456789")

    def yaml(self):
        text = super().yaml().replace(self.data + "/chunks", self.ring.bucket)
        text = text.replace("replication_factor: 1\n", f"replication_factor: {self.ring.factor}\n")
        # What a restart keeps is wanted here.
        text = text.replace("flush_on_shutdown: true", "flush_on_shutdown: false")
        join = ", ".join(f'"127.0.0.1:{self.ring.members[n].port + 1}"' for n in INGESTERS)
        return text + f"target: {self.target}\nring:\n  instance_id: {self.name}\n  instance_zone: {self.name}\n  join: [{join}]\n"

    def answers(self):
        return True

    def start(self, timeout=300, ready=True):
        # All are started before any is ready: the ring needs the founder, readers need the ring.
        os.makedirs(self.data, exist_ok=True)
        real, self.wait_ready = self.wait_ready, lambda *_: None
        super().start()
        self.wait_ready = real


class Ring(S.System):
    def __init__(self, name, factor, binary, root, port):
        super().__init__(name, {"bin": binary}, root, port)
        self.factor, self.bucket = factor, os.path.join(self.dir, "bucket")
        self.members = {}
        for i, n in enumerate(INGESTERS + ("query-frontend", "querier", "distributor")):
            self.members[n] = Member(self, n, port + 2 * i)

    def start(self):
        for m in self.members.values():
            os.makedirs(m.dir, exist_ok=True)
            m.start()
        for m in self.members.values():
            m.wait_ready()
            while self.view(m)["read_replication_factor"] != self.factor or len(self.view(m)["shards"]) != len(INGESTERS):
                time.sleep(0.05)

    def view(self, m):
        return json.loads(m.conn().request("GET", "/ring", headers={"Accept": "application/json"})[1])

    def push_conn(self):
        return self.members["distributor"].conn()

    def conn(self):
        return self.members["query-frontend"].conn()

    def flush(self):
        for n in INGESTERS:
            self.members[n].conn().request("POST", "/flush")
        for n in INGESTERS:
            while self.members[n].metric("runelog_ingester_unflushed_bytes"):
                time.sleep(0.05)

    def wipe(self):
        shutil.rmtree(self.dir, ignore_errors=True)

    def stop(self):
        for m in reversed(self.members.values()):
            m.stop()

    def cpu(self):
        return sum(m.cpu() for m in self.members.values())

    def parts(self):
        return sum(m.cpu() for n, m in self.members.items() if n in INGESTERS), self.members["distributor"].cpu()


def loopback():
    for ln in open("/proc/net/dev"):
        if ln.strip().startswith("lo:"):
            return int(ln.split(":")[1].split()[0])
    return 0


def count(conn, man):
    path = "/loki/api/v1/query"
    code, body = conn.request("GET", path, {"query": 'sum(count_over_time({job=~".+"}[%ds]))' % (man["end"] - man["start"] + 1), "time": man["end"] + 1})
    if code != 200:
        return None
    r = json.loads(body)["data"]["result"]
    return int(r[0]["value"][1]) if r else 0


def one_line(i):
    now = time.time_ns()
    return json.dumps({"streams": [{"stream": {"probe": str(i % 12)}, "values": [[str(now), f"probe {i}"]]}]}).encode()


def kill_under_pushes(ring, out):
    """Latencies of single pushes, one after the other, around a kill -9."""
    conn, lat, dead = ring.push_conn(), [], ring.members[INGESTERS[1]]
    for i in range(600):
        if i == 300:
            os.kill(dead.proc.pid, signal.SIGKILL)
            killed = time.perf_counter()
        t = time.perf_counter()
        code, body = conn.request("POST", "/loki/api/v1/push", body=one_line(i), headers={"Content-Type": "application/json"})
        lat.append((time.perf_counter() - t, code))
        if code != 204:
            print("refused:", code, body[:200])
    before = sorted(x for x, _ in lat[:300])
    after = [x for x, _ in lat[300:]]
    slow = [i for i, x in enumerate(after) if x > 5 * before[150]]
    out["push_before_ms"] = {"p50": before[150] * 1e3, "max": before[-1] * 1e3}
    out["push_after_ms"] = {"max": max(after) * 1e3, "median of the last 100": statistics.median(after[-100:]) * 1e3}
    out["routed_around_ms"] = sum(after[:slow[-1] + 1]) * 1e3 if slow else 0.0
    out["slow_pushes"], out["refused"] = len(slow), sum(c != 204 for _, c in lat)


def takeover(ring, man, out):
    """The dead one's rows: until queries have them, and until the bucket has them after its disk was lost."""
    t = time.perf_counter()
    seen = count(ring.conn(), man)
    out["query_after_kill_ms"], out["lines_after_kill"] = (time.perf_counter() - t) * 1e3, seen
    warm = []
    for _ in range(5):
        t = time.perf_counter()
        count(ring.conn(), man)
        warm.append(time.perf_counter() - t)
    out["query_later_ms"] = statistics.median(warm) * 1e3
    # Its disk is lost: a new store of its name, and all that the old one had is the others' to flush.
    member, dead = ring.members[INGESTERS[0]], ring.members[INGESTERS[1]]
    old = next(s["store"] for s in ring.view(member)["shards"] if s["id"] == dead.name)
    dead.proc.wait()
    dead.proc = None
    dead.wipe()
    t = time.perf_counter()
    dead.start()
    while any(s["store"] == old for s in ring.view(member)["shards"]):
        time.sleep(0.02)
    out["takeover_s"] = time.perf_counter() - t
    out["lines_after_takeover"] = count(ring.conn(), man)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--bin", required=True)
    ap.add_argument("--set", required=True)
    ap.add_argument("--root", required=True)
    ap.add_argument("--segments", type=int, default=6)
    ap.add_argument("--connections", type=int, default=4)
    ap.add_argument("--kill", action="store_true", help="instead of the last flush: kill an ingester of the second and lose its disk")
    a = ap.parse_args()
    man = suite.manifest(a.set)
    files = list(enumerate(man["files"]))
    n = min(a.segments, len(files))
    segs = [files[i * len(files) // n:(i + 1) * len(files) // n] for i in range(n)]
    binary = os.path.abspath(a.bin)
    rings = [Ring("rf1", 1, binary, a.root, 14100), Ring("rf3", 3, binary, a.root, 14200)]
    res, net, out = {r.name: [] for r in rings}, {r.name: 0 for r in rings}, {r.name: {} for r in rings}
    try:
        for r in rings:
            r.wipe()
            r.start()
        for i, seg in enumerate(segs):
            for r in (rings if i % 2 == 0 else rings[::-1]):
                before = loopback()
                res[r.name].append(ingest.push_segment(r, seg, a.set, a.connections))
                net[r.name] += loopback() - before
        for r in rings:
            rs, o = res[r.name], out[r.name]
            raw = sum(x["raw"] for x in rs)
            lat = [x for y in rs for x in y["lat"]]
            o["cpu_push_per_gb"] = sum(x["cpu"] for x in rs) / raw * 1e9
            o["ingesters_and_distributor_cpu_s"] = r.parts()
            o["lines"] = count(r.conn(), man)
            o["push_ms"] = {"p50": ingest.pct(lat, 0.5) * 1e3, "p99": ingest.pct(lat, 0.99) * 1e3}
            sent = sum(os.path.getsize(os.path.join(a.set, "%06d.pb" % no)) for no, _ in files)
            o["net_per_raw"] = {"all": net[r.name] / raw, "between processes": (net[r.name] - sent) / raw}
            o["rejected"] = sum(x["rejected"] for x in rs)
        if a.kill:
            kill_under_pushes(rings[1], out["rf3"])
            takeover(rings[1], man, out["rf3"])
        for r in rings if not a.kill else []:
            r.flush()
            o = out[r.name]
            raw = sum(x["raw"] for x in res[r.name])
            o["cpu_all_per_gb"] = r.cpu() / raw * 1e9
            o["bucket_per_raw"] = S.du(r.bucket) / raw
            o["lines_after_flush"] = count(r.conn(), man)
        one, three = out["rf1"], out["rf3"]
        out["ratios"] = {k: three[k] / one[k] for k in ("cpu_push_per_gb", "cpu_all_per_gb", "bucket_per_raw") if k in three}
        out["set"] = {k: man[k] for k in ("gb", "lines", "raw_bytes", "streams")}
        out["machine"] = S.machine()
        print(json.dumps(out, indent=1))
    finally:
        for r in rings:
            for m in r.members.values():
                if m.proc and m.proc.poll() is None:
                    m.proc.kill()
                    m.proc.wait()


if __name__ == "__main__":
    main()
