"""wsroute_kubectl."""
