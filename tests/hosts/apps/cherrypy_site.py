"""CherryPy by itself."""

from __future__ import annotations

import sys

import cherrypy
import host_jobs


class Site:
    @cherrypy.expose
    def default(self, *path: str) -> bytes:
        cherrypy.response.headers["Content-Type"] = "application/json"
        return host_jobs.answer("/" + "/".join(path))

    index = default


if __name__ == "__main__":
    cherrypy.config.update(
        {
            "server.socket_host": "127.0.0.1",
            "server.socket_port": int(sys.argv[1]),
            "engine.autoreload.on": False,
        }
    )
    cherrypy.quickstart(Site())
