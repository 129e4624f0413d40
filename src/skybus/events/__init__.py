"""Events for integrations, and the operations behind them: an API of our own, in the style of the API-SIG."""
