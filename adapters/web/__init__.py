"""The web page: a chat adapter that is its own platform, on the bot's HTTP listener.

It keeps the messages itself (through `Notes`), shows them in a browser and hears what people do there. It has never
heard of runs, pods or journals, and loads nothing from another host.
"""
