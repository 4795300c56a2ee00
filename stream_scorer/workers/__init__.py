"""Several scorers under one supervisor: one endpoint, one signal, one exit code."""
