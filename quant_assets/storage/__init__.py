"""Where tables and documents are kept, whose they are, and how long they stay."""
