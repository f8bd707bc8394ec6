"""The embedded engine in a process of its own, so that HTTP and forward passes do not share an interpreter.

The parent's side: `spawning` starts and ends the child, `process` speaks with it while it loads, `hosting` makes an
engine of it, `proxy` is that engine, `calls` and `slots` are what it remembers of what is under way. The child's:
`child` is its main, `service` does what it is told, `carrier` sends what a step gave, once a step. Both: `frames`
and `connection` carry bytes, `messages` says what they mean; `requests`, `bundles` and `failures` are in messages.

What one side sends and the other does not know ends the engine. The child ends when the parent's end of the socket
closes, whatever else it does then.
"""
