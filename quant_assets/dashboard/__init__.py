"""The dashboard: a web page and a read-only JSON API over the stored feeds.

feed_repository.py reads feeds, query.py filters them, strategies.py has the strategies in force; rows.py, summary.py,
detail.py, explanations.py and formatting.py prepare the page's texts, market_data.py and charts.py its charts. api.py
(its models in api_models.py), pages.py, events.py, static_files.py, responses.py and server.py handle HTTP.
"""
