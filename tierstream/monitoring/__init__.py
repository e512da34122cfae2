"""How a process is watched over: its metrics, whether it is alive and ready, over HTTP."""
