"""A real single-node Kubernetes cluster on a plain Debian machine, without any image registry.

What belongs here: building, starting and removing the node, and nothing about wsroute itself.
`versions` and `cache` know what is built and where it is kept; `packages`, `binaries` and
`images` make the parts; `layout` names the paths and addresses; `config` renders what the
daemons read; `daemons` says how each is started; `processes` records and stops them; `network`
and `node` bring the whole up and take it down; `cli` is for people.
"""
