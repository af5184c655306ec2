"""The tables. Times are seconds since 1970 UTC; the series alone count in milliseconds, so that a key is exact.

SQLAlchemy Core: the store moves rows between facts and tables, and no object of it lives longer than a transaction.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)
ID: Final = String(64)
"""Ids of sites, circuits, assets, controllers and keys, as the site file allows them."""

organisations: Final = Table(
    "organisations",
    metadata,
    Column("id", ID, primary_key=True),
    Column("name", Text, nullable=False),
    Column("created_epoch_s", Double, nullable=False),
)

sites: Final = Table(
    "sites",
    metadata,
    Column("id", ID, primary_key=True),
    Column("organisation_id", ID, ForeignKey("organisations.id"), nullable=False, index=True),
    Column("name", Text, nullable=False),
    Column("time_zone", String(64), nullable=False),
    Column("created_epoch_s", Double, nullable=False),
)

controllers: Final = Table(
    "controllers",
    metadata,
    Column("id", ID, primary_key=True, doc="the common name of its certificates"),
    Column("site_id", ID, ForeignKey("sites.id"), nullable=False, index=True),
    Column("serial", String(64), unique=True, doc="of the box; empty until one was enrolled"),
    Column("created_epoch_s", Double, nullable=False),
)

certificates: Final = Table(
    "certificates",
    metadata,
    Column("number", String(64), primary_key=True, doc="its serial number, hexadecimal"),
    Column("controller_id", ID, ForeignKey("controllers.id"), nullable=False, index=True),
    Column("issued_epoch_s", Double, nullable=False),
    Column("not_after_epoch_s", Double, nullable=False),
)

activation_codes: Final = Table(
    "activation_codes",
    metadata,
    Column("number", Integer, primary_key=True, doc="never given twice"),
    Column("controller_id", ID, ForeignKey("controllers.id"), nullable=False, unique=True),
    Column("salt", LargeBinary, nullable=False),
    Column("digest", LargeBinary, nullable=False, doc="of the code, which is nowhere"),
    Column("expires_epoch_s", Double, nullable=False),
    Column("wrong", Integer, nullable=False, doc="attempts"),
    Column("key", String(64), nullable=False, doc="it was used for; empty until then"),
    sqlite_autoincrement=True,
)

enrolment_events: Final = Table(
    "enrolment_events",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("at_epoch_s", Double, nullable=False),
    Column("kind", String(32), nullable=False),
    Column("serial", String(64), nullable=False, doc="of the box"),
    Column("address", Text, nullable=False, doc="of who asked"),
    Column("text", Text, nullable=False),
    sqlite_autoincrement=True,
)

charging_sessions: Final = Table(
    "charging_sessions",
    metadata,
    Column("site_id", ID, ForeignKey("sites.id"), primary_key=True),
    Column("evse", ID, primary_key=True),
    Column("plugged_in_epoch_s", Double, primary_key=True, index=True),
    Column("plugged_out_epoch_s", Double, doc="none while the car is there"),
    Column("tag", Text),
    Column("energy_kwh", Double, nullable=False),
    Column("seen_epoch_s", Double, nullable=False, doc="of the newest status that showed it"),
    Column("target_source", String(16), doc="whose word counts; none before the first plan for it"),
    Column("target_asked", Text, doc="in the words of whoever asked"),
    Column("target_kwh", Double, doc="planned for, since plug-in"),
    Column("departure_epoch_s", Double),
    Column("issued_epoch_s", Double, doc="of the target"),
)

planning: Final = Table(
    "planning",
    metadata,
    Column("site_id", ID, ForeignKey("sites.id"), primary_key=True),
    Column("slot", Integer, nullable=False, doc="the sites of one slot are planned by one job"),
    Column("version", BigInteger, nullable=False, doc="of the problem; grows with each"),
    Column("made_epoch_s", Double, nullable=False, doc="when the problem was made"),
    Column("problem", LargeBinary, nullable=False, doc="JSON, deflated"),
    Column("lease_s", Double, nullable=False, doc="of its plan"),
    Column("planned_version", BigInteger, nullable=False, doc="of the problem the newest plan answers"),
    Column("refused_version", BigInteger, nullable=False, doc="of the last problem no plan can be made for"),
    Column("refused_why", Text, nullable=False),
    Column("failures", Integer, nullable=False, doc="attempts at this version that came to nothing"),
    Column("not_before_epoch_s", Double, nullable=False, doc="of the next attempt"),
    Column("sequence", BigInteger, nullable=False, doc="of the newest plan; never falls"),
    Column("published_sequence", BigInteger, nullable=False),
    Index("ix_planning_slot", "slot"),
)

plans: Final = Table(
    "plans",
    metadata,
    Column("site_id", ID, primary_key=True),
    Column("sequence", BigInteger, primary_key=True),
    Column("problem_version", BigInteger, nullable=False),
    Column("issued_epoch_s", Double, nullable=False),
    Column("lease_until_epoch_s", Double, nullable=False),
    Column("status", String(16), nullable=False),
    Column("objective_eur", Double, nullable=False),
    Column("body", Text, nullable=False, doc="the plan's text, before it is signed"),
    ForeignKeyConstraint(["site_id"], ["sites.id"]),
    UniqueConstraint("site_id", "problem_version"),
    Index("ix_plans_issued_epoch_s", "issued_epoch_s"),
)

messages: Final = Table(
    "messages",
    metadata,
    Column("controller", ID, primary_key=True),
    Column("session", BigInteger, primary_key=True, doc="one connection of the controller"),
    Column("seq", BigInteger, primary_key=True),
    Column("site_id", ID, ForeignKey("sites.id"), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("at_ms", BigInteger, nullable=False, doc="when the fact held"),
    Column("received_ms", BigInteger, nullable=False, index=True),
    Column("body", Text, doc="none where the series have all of it"),
    Index("ix_messages_site_id_kind_at_ms", "site_id", "kind", "at_ms"),
)
"""What controllers said, by name: a message that comes twice is stored once. Events, births and answers whole."""


def _series(name: str) -> Table:
    """No foreign key and no unique key: a day of 10 000 sites is a billion rows, and ``messages`` keeps doubles out.

    PostgreSQL keeps it in partitions by ``time_ms``; a row never moves.
    """
    return Table(
        name,
        metadata,
        Column("time_ms", BigInteger, nullable=False),
        Column("site_id", ID, nullable=False),
        Column("asset", ID, nullable=False, doc="an asset or a circuit"),
        Column("quantity", String(32), nullable=False, doc="with its unit, such as power_w"),
        Column("value", Double, nullable=False),
        Column("quality", SmallInteger, nullable=False, doc="0 good; other codes are the sender's"),
        Column("historical", Boolean, nullable=False, doc="came from the site's spool, not live"),
        CheckConstraint("abs(value) <= 1e300", name="finite"),
        Index(f"ix_{name}_site_id_asset_quantity_time_ms", "site_id", "asset", "quantity", "time_ms"),
        postgresql_partition_by="RANGE (time_ms)",
    )


live: Final = _series("live")
"""What sites tell every few seconds; kept for weeks."""
energy: Final = _series("energy")
"""Energy and means per quarter of an hour; kept for years."""
