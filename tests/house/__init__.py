"""House rules as functions that yield `file:line: message` for what they find; run by tests/test_house.py."""
