#!/usr/bin/python3
"""An app for the lab: each GET writes one line into the database behind the virtual IP.

`app PORT DATABASE DATABASE_PORT`; answers 200 with what the database said, such as "ok 7", or 503 while it
doesn't answer: what the load balancer's health check asks for.
"""

import socket
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LIMIT_S = 3.0  # below the health check's time-out of 6 s


class App(BaseHTTPRequestHandler):
    """Answers one request."""

    timeout = 10.0
    database = ("10.1.0.10", 3770)

    def do_GET(self) -> None:
        """Write a line, and say what became of it."""
        try:
            with socket.create_connection(self.database, LIMIT_S) as connection:
                connection.settimeout(LIMIT_S)
                connection.sendall(b"a line by the app\n")
                status, answer = 200, connection.recv(100)
        except OSError as error:
            status, answer = 503, f"{error}\n".encode()
        if not answer:
            status, answer = 503, b"the database hung up\n"
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Say nothing: the load balancer asks every ten seconds."""


def main() -> None:
    """Serve until the process is told to end."""
    port, database, database_port = sys.argv[1:]
    App.database = (database, int(database_port))
    ThreadingHTTPServer(("", int(port)), App).serve_forever()


if __name__ == "__main__":
    main()
