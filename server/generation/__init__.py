"""What a request means, from parsed fields to pieces of text, without HTTP."""
