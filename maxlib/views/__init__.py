"""Floor 7: figures, widgets and pages: results in, pictures out."""
