"""Asks what runs on this machine, past any proxy that the environment names."""

import urllib.request

# For URLs of our own processes; raises what `urllib.request.urlopen` does.
open_url = urllib.request.build_opener(urllib.request.ProxyHandler({})).open
