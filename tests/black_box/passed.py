"""Starts a program with sockets bound for it, as systemd does, and without the right to bind
ports below 1024. Arguments: sockets as "udp ADDRESS PORT", "--", the program."""

import ctypes
import fcntl
import os
import socket
import sys

end = sys.argv.index("--")
names, held = [], []
for text in sys.argv[1:end]:
    protocol, address, port = text.split()
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    kind = socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM
    one = socket.socket(family, kind)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    one.bind((address, int(port)))
    if kind == socket.SOCK_STREAM:
        one.listen()
    held.append(fcntl.fcntl(one, fcntl.F_DUPFD, 100))
    names.append(protocol + port)
for number, descriptor in enumerate(held, 3):
    os.dup2(descriptor, number, inheritable=True)
    os.close(descriptor)
DROP_FROM_BOUNDING_SET, CAP_NET_BIND_SERVICE = 24, 10
if ctypes.CDLL(None).prctl(DROP_FROM_BOUNDING_SET, CAP_NET_BIND_SERVICE, 0, 0, 0):
    sys.exit("cannot drop the capability")
os.environ.update(
    LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(names)), LISTEN_FDNAMES=":".join(names)
)
os.execvp(sys.argv[end + 1], sys.argv[end + 1 :])
