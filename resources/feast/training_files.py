"""The files of a training set: entity rows as given, and kept; the set itself; the recipe beside it.

Belongs here: reading and writing them, in batches, so that a file is there whole or not at all. Does not belong here:
what the rows are (`training_set.py`), what a recipe says (`recipe.py`).
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from resources.errors import ConfigurationError, ContractBroken
from resources.feast.entity_rows import entity_rows
from resources.feast.recipe import Built, Frame, read_built
from resources.feast.row_digest import RowDigest, kind_of
from resources.feast.training_set import BATCH, MOMENT


class RowsFile:
    """A Parquet file that is written batch by batch, and takes its name when it is whole."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._draft = path.with_name(f".{path.name}.part")
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> "RowsFile":
        self.path.parent.mkdir(parents=True, exist_ok=True)
        return self

    def add(self, rows: pa.Table) -> None:
        """Appends rows; the first ones say what columns there are."""
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._draft, rows.schema, compression="zstd")
        try:
            self._writer.write_table(rows.cast(self._writer.schema))
        except (pa.ArrowException, ValueError) as error:
            raise ContractBroken(
                f"{self.path.name}: rows of one file have columns of different kinds: {error}"
            ) from error

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if self._writer is not None:
            self._writer.close()
        if kind is None and self._writer is not None:
            self._draft.replace(self.path)
        else:
            self._draft.unlink(missing_ok=True)


def keep_entities(given: Path, kept: Path, keys: Mapping[str, pa.DataType]) -> Frame:
    """Reads entity rows of a Parquet or CSV file, and keeps them as they are understood.

    Raises:
        ConfigurationError: the file is not there, or not of a kind that is read.
        ContractBroken: a key or a moment is missing or none; there are no rows.
    """
    digest, rows = RowDigest(), 0
    with RowsFile(kept) as file:
        for batch in _batches(given, keys):
            understood = entity_rows(batch.to_pandas(), MOMENT, keys)
            for name in batch.column_names:
                if name not in understood.column_names:
                    kind_of(name, batch.schema.field(name).type)
                    understood = understood.append_column(name, batch.column(name))
            digest.add(understood)
            file.add(understood)
            rows += len(understood)
        if not rows:
            raise ContractBroken(f"{given} has no entity rows")
    return Frame(digest=digest.hexdigest(), rows=rows)


def kept_entities(path: Path, frame: Frame) -> Iterator[pa.Table]:
    """The entity rows as they were kept.

    Raises:
        ConfigurationError: the file is not there, or not the one that was written.
    """
    if not path.is_file():
        raise ConfigurationError(f"the entity rows of the recipe are not there: {path}")
    digest = RowDigest()
    for batch in _parquet(path):
        digest.add(batch)
    if digest.hexdigest() != frame.digest:
        raise ConfigurationError(f"{path}: these are not the entity rows of the recipe, somebody changed them")
    yield from _parquet(path)


def write_recipe(path: Path, built: Built) -> None:
    """Writes the recipe and its result as JSON."""
    draft = path.with_name(f".{path.name}.part")
    draft.write_text(built.model_dump_json(indent=2) + "\n", encoding="utf-8")
    draft.replace(path)


def read_recipe(path: Path) -> Built:
    """The recipe of a file, with the folder it lies in.

    Raises:
        ConfigurationError: it is not there, or none.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read as a recipe: {error}") from error
    return read_built(text, str(path)).model_copy(update={"folder": str(path.parent)})


def _batches(path: Path, keys: Mapping[str, pa.DataType]) -> Iterator[pa.Table]:
    if not path.is_file():
        raise ConfigurationError(f"there is no file {path}")
    try:
        if path.suffix.lower() == ".parquet":
            yield from _parquet(path)
        elif path.suffix.lower() == ".csv":
            # Keys and moments as text: what an id such as 007 is, the table it is looked up in says.
            as_text = pyarrow.csv.ConvertOptions(column_types={name: pa.string() for name in (*keys, MOMENT)})
            with pyarrow.csv.open_csv(path, convert_options=as_text) as reader:
                for batch in reader:
                    yield pa.Table.from_batches([batch])
        else:
            raise ConfigurationError(f"{path.name}: entity rows are a .parquet or a .csv file")
    except pa.ArrowException as error:
        raise ContractBroken(f"{path} cannot be read: {error}") from error


def _parquet(path: Path) -> Iterator[pa.Table]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=BATCH):
            yield pa.Table.from_batches([batch]).replace_schema_metadata(None)
