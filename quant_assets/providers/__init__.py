"""Who gives derivative data: one package for each provider."""
