"""The pre-flight check: what a trader needs, asked one by one, each answered with a line."""
