"""The rules, as tests."""
