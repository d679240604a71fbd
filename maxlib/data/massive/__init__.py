"""Massive (formerly Polygon): REST, WebSocket, and a fake of both to try them on.

Import what you need from the modules: `rest.MassiveRest`, `stream.MassiveStream`, `records`, `config`,
`fake`. This package itself imports nothing, so that only who uses the vendor pays for its clients.
"""
