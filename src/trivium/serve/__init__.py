"""Policies and methods behind an HTTP server that speaks OpenAI's protocol; `app` has the routes."""
