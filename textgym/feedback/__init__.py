"""Human preference data: pairs of texts, whoever is asked about them, and what is made of the answers."""
