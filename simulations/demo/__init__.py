"""The demo: a whole site on this machine, told as a story, with a live view in the terminal."""
