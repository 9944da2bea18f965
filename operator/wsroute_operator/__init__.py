"""wsroute_operator."""
