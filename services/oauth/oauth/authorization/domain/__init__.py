"""What an authorization request may say, and how it is answered."""
