"""What else the machine does meanwhile."""

import os
import time

TICKS = os.sysconf("SC_CLK_TCK")


class Busy:
    """How many cores were busy outside of some processes, from one moment to the next."""

    def __init__(self, pids):
        self.pids, self.at, self.busy, self.own = pids, time.monotonic(), machine_seconds(), own_seconds(pids)

    def foreign_cores(self, ended_seconds=0.0):
        """`ended_seconds`: CPU time of processes of ours that have come and gone meanwhile."""
        own = own_seconds(self.pids) - self.own + ended_seconds
        return max(0.0, (machine_seconds() - self.busy - own) / (time.monotonic() - self.at))


def machine_seconds():
    with open("/proc/stat") as stat:
        user, nice, system = map(int, stat.readline().split()[1:4])
    return (user + nice + system) / TICKS


def own_seconds(pids):
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/stat") as stat:
            total += sum(map(int, stat.read().rsplit(")", 1)[1].split()[11:13]))
    return total / TICKS
