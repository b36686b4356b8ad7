"""schemathesis against the API's own description: `make fuzz`, and in CI."""
