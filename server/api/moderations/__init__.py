"""POST /v1/moderations: the classifier's judgement of texts, in OpenAI's shape."""
