"""From trained runs to the bone age of a film, and what is said with it."""
