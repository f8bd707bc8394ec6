"""POST /v1/responses: OpenAI's Responses API, as far as it is about text."""
