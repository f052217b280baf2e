"""The revisions of the schema, each a step that upgrades a database of the one before."""
