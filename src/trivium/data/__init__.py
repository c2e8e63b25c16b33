"""From tasks and traces to what learning consumes."""
