"""Networks the suite tries devices with: small ones whose answer is known, and grown, random and faulty ones."""
