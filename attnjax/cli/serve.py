"""The command `serve`: a trained run behind HTTP."""

import argparse

from attnjax.cli.predict import search_arguments, search_changes, weights_argument
from attnjax.experiment import registry
from attnjax.runs.start import Notify


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `attnjax serve`."""
    parser.add_argument("run", metavar="RUN", help="a run's id, the start of one, or its folder")
    text = "the address to listen on (default: 127.0.0.1, which other machines cannot reach)"
    parser.add_argument("--host", default="127.0.0.1", metavar="HOST", help=text)
    text = "the port to listen on; 0 for any that is free (default: 8000)"
    parser.add_argument("--port", type=int, default=8000, metavar="INT", help=text)
    more = "another run of the same shape and tokens; together they answer as an ensemble"
    parser.add_argument("--ensemble", action="append", default=[], metavar="RUN", help=more)
    search_arguments(parser.add_argument_group("search (default: as the run's config has it)"))
    weights_argument(parser)


def serve(options: argparse.Namespace, notify: Notify) -> int:
    """Answers requests over HTTP as `predict` does, several at once; with a page to try it."""
    from attnjax.runs import store
    from attnjax.runs.serving.server import Server

    registry.discover(options.experiments)
    run = store.resolve(options.run, options.runs)
    others = [store.resolve(name, options.runs) for name in options.ensemble]
    where = {"host": options.host, "port": options.port, "weights": options.weights}
    with Server(run, **where, search=search_changes(options), ensemble=others) as server:
        notify(f"{run.name} at {server.url} (Ctrl-C ends it)")
        server.serve_forever()
    return 0
