"""The console: its database, its doors, its pages."""
