"""The data plane: upgrade-aware forwarding to the containers of this pod.

What belongs here: all between a client's socket and the backend's. What must not: Kubernetes,
kopf, any client of the API server, and every import that does not earn its memory in each pod.

The way of a byte, and where to read about it:

    server    sockets, signals, the order in which things start and end
    loops     the event loop, and whether OpenSSL is there
    adapter   all that is used of the internals of aiohttp's server (`adapter_client`: its client's)
    accepting connections where the native engine serves: a plain request to upgrade stands alone,
              without aiohttp; all others, and those that come to no tunnel, go to `adapter`
    forward   one request: check, match, police, then tunnel or plain HTTP
    plain     plain HTTP, streamed both ways
    dial      calling the backend for a tunnel
    engines   which relay engine serves
    relay     a tunnel after its 101: the portable engine (`relay_types` is the interface of both,
              `reading` bounds what it takes at a time)
    native    the other one, on a thread without the interpreter: the crate in sidecar/relay, which
              is built where there is Rust

Decisions are pure (no asyncio, no aiohttp, no clock) and stand apart:

    requests  what a request head must be before anything else looks at it
    headers   which headers pass, and which the sidecar adds
    handshake the upgrade request and the verdict on the backend's answer
    frames    following and making RFC 6455 frames
    policy    a rule's settings as numbers
    lifetimes what the clock asks of a tunnel; `wheel`: which deadline is due
    pacing    when each tunnel of a drain ends

A table of routes comes in by `admin` (signed pushes) or `standalone` (a file) and is swapped in
`routes` by `serving`; `tunnels` knows what is open, `drain` ends it in order; `control` (with
`manage` for people), `health` and `metrics` show it; `ports` is the HTTP of them. Before a client's
HTTP stand `tls` and `proxied`, which reads `proxy_protocol`; `tracing` is there where its library
is. `cli` begins, with the command line from `flags`, or `commands` where more is to be said. `lean`
keeps out of memory what nobody needs yet.
"""
