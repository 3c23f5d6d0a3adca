"""The paper's normalisations (domain-bn, bn-plus, domain-in and more) for udbench."""
