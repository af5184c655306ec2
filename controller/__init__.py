"""The on-site controller: one scan reads every input, decides, and writes every output."""
