"""A proxy before any server that speaks OpenAI's API: what an agent says and hears becomes traces to learn from."""
