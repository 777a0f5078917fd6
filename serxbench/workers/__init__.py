"""Models in a process and a virtual environment of their own, behind a protocol of JSON lines; see docs/workers.md.

environments.py   what a card wants installed, and what is installed of it
building.py       makes and removes such environments
protocol.py       the messages, for both sides
client.py         our side: a WorkerAdapter is an adapter like any other; process.py keeps its process
server.py         the worker's side, a program that the environment's interpreter runs
models/NAME.py    what a worker can serve: one module a model, found by the name that a card gives
"""
