"""The gateway: vLLM's own server behind our keys, policy, classifier, reports and metrics.

Bodies and replies pass through as they are, but for what is ours. Nothing is sent to an upstream that has not proved
that it applies plans.

    upstream    the connection to vLLM's server: address, pool, limits
    body        a request's JSON, what of it is ours, and what goes on
    reading     the same as text for the classifier and the scorer
    planning    from a request to its plan, as the embedded server does it
    forwarding  one request there and its reply back
    events      server-sent events as bytes: whole, in order, the report added
    replies     what a reply said, for scorers and counters
    proof       whether the upstream steers, and with which bank
    watch       whether it still does, and whether it is there
    routes      endpoints of the API, and those that are refused
    operations  health and metrics, vLLM's beside ours
    supervised  vLLM's server as a child: started, watched, started again
"""
