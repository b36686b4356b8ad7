"""What several test files share: servers, browsers, command lines, and the description of the API."""
