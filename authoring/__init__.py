"""What authors and CI run. Notebooks import nothing from here."""
