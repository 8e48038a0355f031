"""The network a run is in: its own, where that is allowed."""

import ctypes
import fcntl
import socket
import struct


def own_network():
    """Leaves the machine's network for one that has loopback alone, with all that is started from now on; false if that is not
    allowed. What listens on every address there is heard by nobody else."""
    new_network, set_flags, up_and_running = 0x40000000, 0x8914, 0x41
    if ctypes.CDLL(None).unshare(new_network) != 0:
        return False
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, set_flags, struct.pack("16sH14x", b"lo", up_and_running))
    return True
