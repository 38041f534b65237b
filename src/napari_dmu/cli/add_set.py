"""``napari-dmu add-set``: a pattern set from a file or from the web."""

from __future__ import annotations

from typing import Annotated

import typer


def add_set(
    source: Annotated[
        str,
        typer.Argument(
            help="A file that ends in .dmu.safetensors; or its address: https://…, doi:….", show_default=False
        ),
    ],
    sha256: Annotated[
        str | None,
        typer.Option("--sha256", help="Checksum of the file; wanted for an address.", show_default="none"),
    ] = None,
) -> None:
    """Add a pattern set to those that are found.

    It is checked and copied into your folder of sets; 'napari-dmu info' says where that is.
    """
    from napari_dmu.cli.running import Work, say
    from napari_dmu.zoo import library

    with Work() as work:
        added = library.add_set(source, sha256=sha256, report=work.progress, check_cancelled=work.cancel.check)
    say(added.sentence)
    say(f"{added.summary.path}")
