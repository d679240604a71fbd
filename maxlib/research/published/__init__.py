"""The original's arithmetic, flaws included, to be taken apart: nothing that trades may import this room."""
