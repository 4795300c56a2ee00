"""The people's side: web pages over the live stream, behind a guard of their own."""
