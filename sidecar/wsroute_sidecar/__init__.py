"""wsroute_sidecar."""
