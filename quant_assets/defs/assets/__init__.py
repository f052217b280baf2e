"""The assets, by stage; each is a table of contents: take inputs, call the domain, return the table."""
