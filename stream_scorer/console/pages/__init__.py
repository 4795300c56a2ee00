"""The pages: what is drawn; no page decides who may do what."""
