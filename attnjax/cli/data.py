"""`attnjax data`: the corpora that can be fetched, and which of them are here."""

import argparse
from dataclasses import replace
from functools import partial

from attnjax.cli.run_tables import aligned
from attnjax.config import require
from attnjax.runs.exit_codes import sigterm_raises
from attnjax.runs.provenance import Notify


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    parser.add_argument(
        "action",
        metavar="ACTION",
        nargs="?",
        choices=("list", "fetch"),
        default="list",
        help="list or fetch (default: list)",
    )
    parser.add_argument("names", metavar="NAME", nargs="*", help="corpora by their names (list: default all)")
    fresh = "fetch: write what is here already anew, from the same packages"
    parser.add_argument("--fresh", action="store_true", help=fresh)
    languages = "fetch emoji: those of the names, as CLDR calls them; written anew (default: en de es fr sw)"
    parser.add_argument("--languages", nargs="+", metavar="LANGUAGE", help=languages)


def data(options: argparse.Namespace, notify: Notify) -> int:
    """Lists real corpora that can be fetched by name, or fetches some into the user's cache."""
    from attnjax.data.fetch.catalogue import CORPORA, corpus_named
    from attnjax.data.fetch.packages import NotFetched, corpora_folder

    chosen = list({(corpus := corpus_named(name)).name: corpus for name in options.names}.values())
    if options.action == "list":
        require(
            not (options.fresh or options.languages),
            "--fresh and --languages: they are for `attnjax data fetch`",
        )
        titles = ("corpus", "to fetch", "licence", "for `attnjax run`", "meaning", "here")
        rows = [
            (
                corpus.name,
                f"{corpus.megabytes:5.1f} MB",
                corpus.licence,
                ", ".join(run.split()[0] for run in corpus.runs),
                corpus.meaning,
                ", ".join(corpus.files) if corpus.is_here else "",
            )
            for corpus in chosen or CORPORA.values()
        ]
        print(aligned([titles, *rows]))
        print(f"\nThose that are here lie in {corpora_folder()}; `attnjax data fetch NAME` brings others.")
        return 0
    require(bool(chosen), "which corpora? `attnjax data fetch NAME`; `attnjax data` prints the names")
    if options.languages:
        require([corpus.name for corpus in chosen] == ["emoji"], "--languages: it is for emoji alone")
        chosen = [replace(chosen[0], make=partial(chosen[0].make, languages=options.languages))]
    failed = False
    for corpus in chosen:
        places = ", ".join(map(str, corpus.paths))
        if corpus.is_here and not (options.fresh or options.languages):
            print(f"{corpus.name} is here: {places}", flush=True)
            continue
        try:
            with sigterm_raises():
                count = corpus.fetch(notify)
        except NotFetched as error:
            notify(f"error: {corpus.name}: {error}")
            failed = True
            continue
        print(f"{corpus.name}: {count:,} {corpus.entries} in {places}", flush=True)
        for command in corpus.commands:
            print(f"  {command}", flush=True)
    return int(failed)
