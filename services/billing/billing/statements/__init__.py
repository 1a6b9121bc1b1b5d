"""What people read of the books: usage logs, roll-ups, invoices, balance history, margins."""
