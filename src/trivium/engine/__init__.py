"""Fast local generation: continuous batching, one prefill per distinct prompt, sampling with exact log-probs."""
