"""The outermost layer of the application and of its connections: ids, access log, drain, slow clients."""
