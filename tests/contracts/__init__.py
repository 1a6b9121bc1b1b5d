"""The contracts as documents: JSON Schema and AsyncAPI from `common.contracts`, and their comparison."""
