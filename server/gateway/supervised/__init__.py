"""vLLM's server as a child of the gateway: how it is started, who watches it, and that nothing of it outlives us.

command   what is started, in which environment
guardian  the small process above it, which ends its group when the gateway is gone
server    starting it, again with back-off, and its lines in our log
"""
