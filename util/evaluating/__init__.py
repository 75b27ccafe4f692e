"""How finished runs do on labelled films."""
