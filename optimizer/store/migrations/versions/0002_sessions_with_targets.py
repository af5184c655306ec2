"""Sessions know when they were seen last and what they were planned for; wishes are not kept beside them.

Nothing wrote either table before, so that they are made anew.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """The tables as of this change."""
    op.drop_table("wishes")
    op.drop_table("charging_sessions")
    op.create_table(
        "charging_sessions",
        sa.Column("site_id", sa.String(length=64), nullable=False),
        sa.Column("evse", sa.String(length=64), nullable=False),
        sa.Column("plugged_in_epoch_s", sa.Double(), nullable=False),
        sa.Column("plugged_out_epoch_s", sa.Double(), nullable=True),
        sa.Column("tag", sa.Text(), nullable=True),
        sa.Column("energy_kwh", sa.Double(), nullable=False),
        sa.Column("seen_epoch_s", sa.Double(), nullable=False),
        sa.Column("target_source", sa.String(length=16), nullable=True),
        sa.Column("target_asked", sa.Text(), nullable=True),
        sa.Column("target_kwh", sa.Double(), nullable=True),
        sa.Column("departure_epoch_s", sa.Double(), nullable=True),
        sa.Column("issued_epoch_s", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["site_id"], ["sites.id"], name="fk_charging_sessions_site_id"),
        sa.PrimaryKeyConstraint("site_id", "evse", "plugged_in_epoch_s", name="pk_charging_sessions"),
    )
    op.create_index("ix_charging_sessions_plugged_in_epoch_s", "charging_sessions", ["plugged_in_epoch_s"])
