"""What a method is made of: small frozen parts that know nothing of each other."""
