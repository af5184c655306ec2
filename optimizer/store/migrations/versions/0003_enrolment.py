"""Enrolment's codes, certificates and events; signing keys stay in the authority's folder alone.

Nothing wrote the tables of keys before, so that they are made anew.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """The tables as of this change."""
    for name in ("signing_keys", "certificates", "activation_codes"):
        op.drop_table(name)
    op.create_table(
        "certificates",
        sa.Column("number", sa.String(length=64), nullable=False),
        sa.Column("controller_id", sa.String(length=64), nullable=False),
        sa.Column("issued_epoch_s", sa.Double(), nullable=False),
        sa.Column("not_after_epoch_s", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["controller_id"], ["controllers.id"], name="fk_certificates_controller_id"),
        sa.PrimaryKeyConstraint("number", name="pk_certificates"),
    )
    op.create_index("ix_certificates_controller_id", "certificates", ["controller_id"])
    op.create_table(
        "activation_codes",
        sa.Column("number", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("controller_id", sa.String(length=64), nullable=False),
        sa.Column("salt", sa.LargeBinary(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("expires_epoch_s", sa.Double(), nullable=False),
        sa.Column("wrong", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["controller_id"], ["controllers.id"], name="fk_activation_codes_controller_id"),
        sa.PrimaryKeyConstraint("number", name="pk_activation_codes"),
        sa.UniqueConstraint("controller_id", name="uq_activation_codes_controller_id"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "enrolment_events",
        sa.Column("number", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("at_epoch_s", sa.Double(), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("serial", sa.String(length=64), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_enrolment_events"),
        sqlite_autoincrement=True,
    )
