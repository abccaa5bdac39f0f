"""`ensembler study dashboard`: a fit's trials in a browser."""

from __future__ import annotations

import contextlib
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import click

from ensembler.cli.options import json_option
from ensembler.cli.output import print_json
from ensembler.errors import InputError

HOST = "127.0.0.1"  # trials are shown to this machine only


@click.command()
@click.argument("journal", metavar="JOURNAL|URL")
@click.option(
    "--port",
    default=8080,
    show_default=True,
    type=click.IntRange(0, 65535),
    metavar="N",
    help="Port of this machine to serve on; 0 takes any free one.",
)
@json_option
def dashboard(*, journal: str, port: int, as_json: bool) -> None:
    """Show recorded trials in optuna-dashboard until Ctrl-C, also while a fit is writing them.

    A journal lies beside its spec: ensemble.journal, or ensemble.journal.running until its fit has
    ended. Nothing in it can be changed from there.
    """
    from ensembler.search.dashboard import dashboard_app

    app = dashboard_app(journal)
    try:
        server = make_server(HOST, port, app, server_class=_Server, handler_class=_Quiet)
    except OSError as error:
        raise InputError(
            f"port {port} of {HOST} cannot be opened ({error.strerror}); give --port another, or 0"
        ) from error
    with server, contextlib.suppress(KeyboardInterrupt):
        address = f"http://{HOST}:{server.server_port}/"
        if as_json:
            print_json({"address": address})
        else:
            click.echo(address)
        click.echo("Ctrl-C ends it.", err=True)
        server.serve_forever()


class _Server(ThreadingMixIn, WSGIServer):
    """A browser asks for several things at once; none of them keeps Ctrl-C waiting."""

    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    """Writes no line for every request."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        pass
