"""The benchmark: what the sidecar costs, beside the proxies that it is compared with, in one run.

`python -m tests.bench` starts each proxy in turn with one worker, several rounds interleaved,
loads it and reads its own CPU time and memory from the kernel. CPU time is the robust figure: it
hardly minds what else the machine does. Wall times do.

- `processes`  children that end for sure; their CPU time, memory and sockets
- `load`       the load generator and the echo backend (the Rust crate in the folder `load`), and
               the check that every echo was right and went through the measured process
- `install`, `proxies`   where the proxies come from; how each is configured and started
- `scenarios`, `swap`    what is measured of one proxy in one round
- `figures`    the names and units of what is measured; medians and ratios (pure)
- `table`, `chart`       the figures as text and as SVG (pure)
"""
