"""One HTTP request at a time: within a budget, past what goes wrong in passing, with a secret in a header."""
