"""What the server's tests are made of: stubs, made-up bundles, a byte tokenizer and a server on a real socket."""
