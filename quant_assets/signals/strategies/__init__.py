"""Built-in strategies, one module each; a module with a strategy defines the name `strategy`."""
