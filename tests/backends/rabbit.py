"""A RabbitMQ of the tests' own: on free ports, with its data and its port mapper in a directory."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

from engine_processes import LONG, Process

#: Where Debian's package has the script itself: the one on the path wants to be root.
SCRIPT = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Rabbit:
    """Ended with all that it has started."""

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="rabbit-")
        home = Path(self._directory.name)
        (home / "env").touch()
        port, mapper = free_port(), free_port()
        self.url = f"amqp://guest:guest@127.0.0.1:{port}/%2F"
        self._environ = {
            "HOME": str(home),
            "ERL_EPMD_PORT": str(mapper),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": "counterpunch@localhost",
            "RABBITMQ_NODE_PORT": str(port),
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": str(home / "data"),
            "RABBITMQ_LOG_BASE": str(home / "log"),
            "RABBITMQ_PID_FILE": str(home / "pid"),
            "RABBITMQ_CONF_ENV_FILE": str(home / "env"),
            "RABBITMQ_CONFIG_FILE": str(home / "conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "plugins"),
        }
        self._process = Process([str(SCRIPT)], home, **self._environ)
        try:
            self._process.until("Starting broker... completed")
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._process.kill()
        epmd = shutil.which("epmd")
        if epmd is not None:  # a daemon, and nobody's child: by its port, which is ours
            port = {"ERL_EPMD_PORT": self._environ["ERL_EPMD_PORT"]}
            subprocess.run([epmd, "-kill"], env=port, capture_output=True, timeout=LONG)
        self._directory.cleanup()
