"""Opening the store's database: SQLite in one file by default, PostgreSQL where several machines share it.

Both are asked to lose nothing that was told to be stored: a plan's sequence that fell back would be refused by its
site. What can go wrong outside (no server, no disk) is a ``StoreError``; whoever asked tries again later.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DatabaseError, DBAPIError, NoSuchModuleError, OperationalError

from interfaces.errors import UserError

if TYPE_CHECKING:
    from alembic.config import Config

BUSY_S: Final[float] = 30.0
"""SQLite has one writer at a time; the others wait so long."""
CONNECT_S: Final[int] = 5
ALIVE: Final = {"tcp_user_timeout": 10_000, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 2}
"""A server that fell silent (libpq; ms, then s) is missed after 10 to 20 s: who listens to sites waits no longer."""
_PACK_BY_LZ4: Final = (
    "SELECT set_config(name, 'lz4', false) FROM pg_settings "
    "WHERE name = 'default_toast_compression' AND 'lz4' = ANY(enumvals)"
)
MIGRATIONS: Final[Path] = Path(__file__).parent / "migrations"
_POSTGRES: Final = "postgresql"
_SQLITE: Final = "sqlite"


class StoreError(Exception):
    """The database did not do what was asked, for a reason outside of this program: it may do so later."""


class Database:
    """Connections to one database; every transaction is a ``with database.begin() as connection``."""

    def __init__(self, url: str, *, connections: int = 2) -> None:
        """A database at ``url``; nothing is opened yet.

        Raises:
            UserError: it is no URL of a database the store works with.
        """
        self.url = _driver_url(url)
        self.known_partitions: set[str] = set()
        self._engine = _engine_of(self.url, connections)

    @property
    def is_postgres(self) -> bool:
        """Whether it is PostgreSQL; else it is SQLite."""
        return self._engine.dialect.name == _POSTGRES

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """One transaction: all of it is kept, or nothing where an exception leaves the block.

        Raises:
            StoreError: no connection, a lost one, or a conflict with another transaction.
        """
        try:
            with self._engine.begin() as connection:
                yield connection
        except OperationalError as error:
            raise StoreError(_reason(error)) from error
        except DBAPIError as error:
            if error.connection_invalidated:
                raise StoreError(_reason(error)) from error
            raise

    @contextmanager
    def each(self) -> Iterator[Connection]:
        """A connection on which each statement is a transaction of its own: some may not be inside of one.

        Raises:
            StoreError: as ``begin``.
        """
        try:
            with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                yield connection
        except OperationalError as error:
            raise StoreError(_reason(error)) from error

    @contextmanager
    def alone(self, key: int) -> Iterator[None]:
        """Nobody else is in such a block with this key; on SQLite there is nobody else.

        Raises:
            StoreError: as ``begin``.
        """
        with self.begin() as connection:
            if self.is_postgres:
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})
            yield

    def make_schema(self, name: str) -> None:
        """A schema of PostgreSQL beside the store's own, for tables that migrations know nothing of.

        Raises:
            StoreError: as ``begin``.
        """
        with self.begin() as connection:
            connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {name}"))

    def migrate(self) -> None:
        """Bring the tables to this program's version; several processes may ask at once.

        Raises:
            StoreError: the database cannot be reached.
        """
        from alembic import command  # noqa: PLC0415  solver processes, which are many, do not pay for it

        try:
            self._make_file()
            command.upgrade(alembic_config(self.url), "head")
        except DatabaseError as error:
            if type(error) not in (OperationalError, DatabaseError):  # the latter: a file that is no database
                raise
            raise StoreError(_reason(error)) from error

    def _make_file(self) -> None:
        """SQLite's file, for its owner alone: who charges where and when is nobody else's business."""
        file = make_url(self.url).database
        if self.is_postgres or file is None:
            return
        try:
            Path(file).touch(mode=0o600)
        except OSError as error:
            raise StoreError(f"{file} cannot be used: {error.strerror or error}") from error

    def close(self) -> None:
        """Give up all connections that nobody uses."""
        self._engine.dispose()


def alembic_config(url: str) -> Config:
    """Alembic's configuration for the migrations inside this package."""
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["url"] = url
    return config


def queue_conninfo(database: Database) -> str:
    """How libpq reaches the same PostgreSQL."""
    return make_url(database.url).set(drivername="postgresql").render_as_string(hide_password=False)


def migration_engine(url: str) -> Engine:
    """One connection with the settings of the store, for a migration."""
    return _engine_of(url, 1)


def _driver_url(url: str) -> str:
    """With the driver we ship: psycopg 3."""
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise UserError(f"'{url.partition('@')[2] or url}' is no URL of a database") from error
    name = parsed.get_backend_name()
    if name == _POSTGRES:
        return parsed.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
    if name == _SQLITE and parsed.database and parsed.database != ":memory:":
        return parsed.set(drivername="sqlite").render_as_string(hide_password=False)
    raise UserError("the store is sqlite:///FILE or postgresql://..., not " + parsed.render_as_string())


def _engine_of(url: str, connections: int) -> Engine:
    try:
        if url.startswith(_SQLITE):
            engine = create_engine(url, connect_args={"timeout": BUSY_S}, pool_size=connections)
            event.listen(engine, "connect", _prepare_sqlite)
            event.listen(engine, "begin", _begin_immediate)
            return engine
        arguments = {"connect_timeout": CONNECT_S, "application_name": "stroomwacht", **ALIVE}
        engine = create_engine(url, connect_args=arguments, pool_size=connections, pool_pre_ping=True)
    except NoSuchModuleError as error:
        raise UserError(f"the store does not work with this database: {error}") from error
    event.listen(engine, "connect", _prepare_postgres)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    """WAL, so that readers do not wait for the writer; FULL, so that a power cut loses no sequence."""
    connection.isolation_level = None  # the driver begins nothing by itself: `_begin_immediate` does
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _prepare_postgres(connection: Any, _record: object) -> None:
    """Long values are packed by LZ4 where the server was built with it: its own way is half of what a plan costs it."""
    connection.execute(_PACK_BY_LZ4)
    connection.commit()


def _begin_immediate(connection: Connection) -> None:
    """A transaction that reads first and writes later must not find that another one has written in between."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _reason(error: DBAPIError) -> str:
    """The driver's first line, without the statement and its values."""
    return str(error.orig).strip().partition("\n")[0]
