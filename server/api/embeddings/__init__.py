"""POST /v1/embeddings: vectors of texts by the classifier's sentence encoder, in OpenAI's shape."""
