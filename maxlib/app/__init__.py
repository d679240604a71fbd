"""Floor 8: the command line, the notebook runner, the dashboard's server."""
