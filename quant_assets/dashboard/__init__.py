"""The dashboard: a page for people and a read-only API for programs, over the feed and the windows that are stored.

Feeds are read in documents.py, narrowed in query.py, turned into rows and words for the page in rows.py, words.py and
figures.py, into series for a chart in charts.py; answers.py, api.py, pages.py, events.py and server.py speak HTTP.
Nothing here writes, fetches or computes a signal, and nothing knows how a feed came about.
"""
