"""The online path: configuration, engines, HTTP API, metrics and the command line."""
