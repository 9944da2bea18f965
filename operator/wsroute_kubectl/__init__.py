"""`kubectl wsroute`: what a person asks of routes and of tunnels, over all pods at once.

In here: choosing pods, asking their sidecars at the same time, and drawing one answer from many.
Everything goes through `kubectl` itself, so the user's context and Kubernetes' own rights decide;
a sidecar is asked with `kubectl exec`, by its own command `wsroute-sidecar`.
Not in here: a Kubernetes client, credentials, and anything that decides what a sidecar does.
"""
