"""A port that nobody listens on."""

import random
import socket


def free_port() -> int:
    """Free a moment ago, and below those that the kernel gives to outgoing connections: none of them takes it."""
    while True:
        port = random.randint(15_000, 32_000)  # noqa: S311  # not a secret
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
