"""The verbs: what can be done with datasets, jobs and models. No HTTP words, no SQL."""
