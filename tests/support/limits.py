"""Limits of a running process."""

import os
import re
import subprocess
from pathlib import Path


def set_soft(pid, **limits):
    """Sets soft limits of a process. It is done as its own user, who may do that without any
    capability."""
    status = Path(f"/proc/{pid}/status").read_text()
    user, group = (re.search(rf"^{key}:\t(\d+)", status, re.M)[1] for key in ("Uid", "Gid"))
    command = [f"--{name}={value}:" for name, value in limits.items()]
    command = ["prlimit", "--pid", str(pid), *command]
    if int(user) != os.geteuid():
        command = ["setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups", *command]
    subprocess.run(command, check=True, timeout=20)
