"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """The tables as of this change."""
    _energy()
    _live()
    _organisations()
    _signing_keys()
    _sites()
    _charging_sessions()
    _controllers()
    _messages()
    _planning()
    _plans()
    _wishes()
    _activation_codes()
    _certificates()


def _energy() -> None:
    op.create_table(
        "energy",
        sa.Column("time_ms", sa.BigInteger(), nullable=False),
        sa.Column("site_id", sa.String(length=64), nullable=False),
        sa.Column("asset", sa.String(length=64), nullable=False),
        sa.Column("quantity", sa.String(length=32), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("quality", sa.SmallInteger(), nullable=False),
        sa.Column("historical", sa.Boolean(), nullable=False),
        sa.CheckConstraint("abs(value) <= 1e300", name=op.f("ck_energy_finite")),
        postgresql_partition_by="RANGE (time_ms)",
    )
    op.create_index("ix_energy_site_id_asset_quantity_time_ms", "energy", ["site_id", "asset", "quantity", "time_ms"])


def _live() -> None:
    op.create_table(
        "live",
        sa.Column("time_ms", sa.BigInteger(), nullable=False),
        sa.Column("site_id", sa.String(length=64), nullable=False),
        sa.Column("asset", sa.String(length=64), nullable=False),
        sa.Column("quantity", sa.String(length=32), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("quality", sa.SmallInteger(), nullable=False),
        sa.Column("historical", sa.Boolean(), nullable=False),
        sa.CheckConstraint("abs(value) <= 1e300", name=op.f("ck_live_finite")),
        postgresql_partition_by="RANGE (time_ms)",
    )
    op.create_index("ix_live_site_id_asset_quantity_time_ms", "live", ["site_id", "asset", "quantity", "time_ms"])


def _organisations() -> None:
    op.create_table(
        "organisations",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_epoch_s", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_organisations"),
    )


def _signing_keys() -> None:
    op.create_table(
        "signing_keys",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("created_epoch_s", sa.Double(), nullable=False),
        sa.Column("retired_epoch_s", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_signing_keys"),
    )


def _sites() -> None:
    op.create_table(
        "sites",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("organisation_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("time_zone", sa.String(length=64), nullable=False),
        sa.Column("created_epoch_s", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["organisation_id"], ["organisations.id"], name="fk_sites_organisation_id"),
        sa.PrimaryKeyConstraint("id", name="pk_sites"),
    )
    op.create_index("ix_sites_organisation_id", "sites", ["organisation_id"])


def _charging_sessions() -> None:
    op.create_table(
        "charging_sessions",
        sa.Column("site_id", sa.String(length=64), nullable=False),
        sa.Column("evse", sa.String(length=64), nullable=False),
        sa.Column("plugged_in_epoch_s", sa.Double(), nullable=False),
        sa.Column("plugged_out_epoch_s", sa.Double(), nullable=True),
        sa.Column("tag", sa.Text(), nullable=True),
        sa.Column("energy_kwh", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["site_id"], ["sites.id"], name="fk_charging_sessions_site_id"),
        sa.PrimaryKeyConstraint("site_id", "evse", "plugged_in_epoch_s", name="pk_charging_sessions"),
    )


def _controllers() -> None:
    op.create_table(
        "controllers",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("site_id", sa.String(length=64), nullable=False),
        sa.Column("serial", sa.String(length=64), nullable=True),
        sa.Column("created_epoch_s", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["site_id"], ["sites.id"], name="fk_controllers_site_id"),
        sa.PrimaryKeyConstraint("id", name="pk_controllers"),
        sa.UniqueConstraint("serial", name="uq_controllers_serial"),
    )
    op.create_index("ix_controllers_site_id", "controllers", ["site_id"])


def _messages() -> None:
    op.create_table(
        "messages",
        sa.Column("controller", sa.String(length=64), nullable=False),
        sa.Column("session", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("site_id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("received_ms", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["site_id"], ["sites.id"], name="fk_messages_site_id"),
        sa.PrimaryKeyConstraint("controller", "session", "seq", name="pk_messages"),
    )
    op.create_index("ix_messages_received_ms", "messages", ["received_ms"])
    op.create_index("ix_messages_site_id_kind_at_ms", "messages", ["site_id", "kind", "at_ms"])


def _planning() -> None:
    op.create_table(
        "planning",
        sa.Column("site_id", sa.String(length=64), nullable=False),
        sa.Column("slot", sa.Integer(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("made_epoch_s", sa.Double(), nullable=False),
        sa.Column("problem", sa.LargeBinary(), nullable=False),
        sa.Column("lease_s", sa.Double(), nullable=False),
        sa.Column("planned_version", sa.BigInteger(), nullable=False),
        sa.Column("refused_version", sa.BigInteger(), nullable=False),
        sa.Column("refused_why", sa.Text(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("not_before_epoch_s", sa.Double(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("published_sequence", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["site_id"], ["sites.id"], name="fk_planning_site_id"),
        sa.PrimaryKeyConstraint("site_id", name="pk_planning"),
    )
    op.create_index("ix_planning_slot", "planning", ["slot"])


def _plans() -> None:
    op.create_table(
        "plans",
        sa.Column("site_id", sa.String(length=64), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("problem_version", sa.BigInteger(), nullable=False),
        sa.Column("issued_epoch_s", sa.Double(), nullable=False),
        sa.Column("lease_until_epoch_s", sa.Double(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("objective_eur", sa.Double(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["site_id"], ["sites.id"], name="fk_plans_site_id"),
        sa.PrimaryKeyConstraint("site_id", "sequence", name="pk_plans"),
        sa.UniqueConstraint("site_id", "problem_version", name="uq_plans_site_id_problem_version"),
    )
    op.create_index("ix_plans_issued_epoch_s", "plans", ["issued_epoch_s"])


def _wishes() -> None:
    op.create_table(
        "wishes",
        sa.Column("site_id", sa.String(length=64), nullable=False),
        sa.Column("evse", sa.String(length=64), nullable=False),
        sa.Column("plugged_in_epoch_s", sa.Double(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("told_epoch_s", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["site_id"], ["sites.id"], name="fk_wishes_site_id"),
        sa.PrimaryKeyConstraint("site_id", "evse", "plugged_in_epoch_s", name="pk_wishes"),
    )


def _activation_codes() -> None:
    op.create_table(
        "activation_codes",
        sa.Column("code_hash", sa.String(length=128), nullable=False),
        sa.Column("serial", sa.String(length=64), nullable=False),
        sa.Column("controller_id", sa.String(length=64), nullable=False),
        sa.Column("expires_epoch_s", sa.Double(), nullable=False),
        sa.Column("used_epoch_s", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["controller_id"], ["controllers.id"], name="fk_activation_codes_controller_id"),
        sa.PrimaryKeyConstraint("code_hash", name="pk_activation_codes"),
    )


def _certificates() -> None:
    op.create_table(
        "certificates",
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("controller_id", sa.String(length=64), nullable=False),
        sa.Column("not_after_epoch_s", sa.Double(), nullable=False),
        sa.Column("revoked_epoch_s", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["controller_id"], ["controllers.id"], name="fk_certificates_controller_id"),
        sa.PrimaryKeyConstraint("fingerprint", name="pk_certificates"),
    )
    op.create_index("ix_certificates_controller_id", "certificates", ["controller_id"])
