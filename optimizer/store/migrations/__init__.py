"""Alembic's migrations of the store; they ship with the package."""
