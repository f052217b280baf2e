"""The Coinalyze API: client, call budget, response models."""
