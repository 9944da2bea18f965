"""The control plane: from `kubectl apply` to a table in every selected pod, and back to status.

In here: watching, planning, signing, pushing, status, the election, and injection.
Not in here: what a route means (wsroute_api), and what a sidecar does with it (wsroute_sidecar,
which is never imported).

The way of a route, always down:

    handlers    what kopf calls; reduces an object (`objects`) and passes it on from `watch`,
                which keeps kopf in a thread of its own
    index       all routes, pods and Services by namespace; `sweep` compares it with a list
    control     the leader's loop (`leader` leads while `election`, pure, lets it)
    plan        pure: a table for each pod, a verdict on each route (`selectors`, `services`)
    push        to each pod its newest table, signed (`keys`, which `rotation` keeps young);
                `delivery` knows what an answer means
    status      one writer; `conditions`, pure, knows what to say; `events` are told once, and
                `announce` tells of injection

Injection is beside it: `webhook` serves with the certificates of `certstore` (`certs`, pure),
`inject` (pure; `container`, `tuning`) decides on a pod, and `bootstrap` signs its first snapshot.

Its parts meet in `app`; `settings` and `cli` are for people; `kube` is the API client, `waits` a
helper; `log`, `metrics` and `health` are for those who run it.

What it may do in the cluster, and the chart grants no more:

    cluster     wsroute.dev websocketroutes: list, watch; websocketroutes/status: patch
                pods, services: list, watch
                events.k8s.io events: create
                apiextensions.k8s.io customresourcedefinitions: list, watch
                admissionregistration.k8s.io mutatingwebhookconfigurations, its own: get, patch
    namespace   coordination.k8s.io leases: create; its own: get, update
                secrets: create; the signing keys' and the webhook's: get, patch
"""
