"""The virtual site and everything measured on it; production never imports this."""
