"""A service manager that listens to what the server tells it."""

import os
import socket


class Manager:
    """The socket of a service manager, and what it was told."""

    def __init__(self, name):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.settimeout(30)
        self.socket.bind(name)
        self.name = name.replace("\0", "@", 1)

    def environment(self, **more):
        return {**os.environ, "NOTIFY_SOCKET": self.name, **more}

    def next(self, but="WATCHDOG"):
        """The next message as a mapping, leaving out signs of life."""
        while True:
            message = dict(
                line.split("=", 1) for line in self.socket.recv(4096).decode().splitlines()
            )
            if but not in message:
                return message
