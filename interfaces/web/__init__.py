"""What the local panel and the portal share: layout, styles, login, audit."""
