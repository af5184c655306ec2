"""What the cloud keeps: who there is, what was measured, what people want, what was planned. SQLite or PostgreSQL."""
