#!/usr/bin/python3
"""Runs a program on a kernel that lacks something: `lacking.py seccomp,landlock PROGRAM …`.

A filter of our own answers the system calls that are named with an error: ENOSYS, as an old kernel,
or EPERM, as a container. It stays over everything that the program starts.
"""

import ctypes
import errno
import os
import platform
import struct
import sys

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
RET_ALLOW, RET_ERRNO = 0x7FFF0000, 0x00050000
LOAD, IS, RETURN = 0x20, 0x15, 0x06

# Numbers of the calls, by processor, and what the kernel or the container says.
CALLS = {
    "seccomp": ({"x86_64": [317], "aarch64": [277]}, errno.ENOSYS),
    "landlock": ({"x86_64": [444], "aarch64": [444]}, errno.EOPNOTSUPP),
    "close_range": ({"x86_64": [436], "aarch64": [436]}, errno.EPERM),
    "chroot": ({"x86_64": [161], "aarch64": [51]}, errno.EPERM),
}


def program(names):
    code = [(LOAD, 0, 0, 0)]
    for name in names:
        numbers, error = CALLS[name]
        for number in numbers[platform.machine()]:
            code += [(IS, 0, 1, number), (RETURN, 0, 0, RET_ERRNO | error)]
    return code + [(RETURN, 0, 0, RET_ALLOW)]


def restrict(names):
    code = program(names)
    block = b"".join(struct.pack("=HBBI", *one) for one in code)
    held = ctypes.create_string_buffer(block, len(block))
    head = struct.pack("@HP", len(code), ctypes.addressof(held))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4
    libc.prctl.restype = ctypes.c_int
    pointer = ctypes.create_string_buffer(head, len(head))
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(pointer), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def prefix(*names):
    """What stands before the command of the program."""
    return [sys.executable, os.path.abspath(__file__), ",".join(names)]


if __name__ == "__main__":
    restrict(sys.argv[1].split(","))
    os.execv(sys.argv[2], sys.argv[2:])
