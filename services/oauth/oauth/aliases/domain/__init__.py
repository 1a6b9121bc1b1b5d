"""Pure rules of the aliases: other dialects of the same questions."""
