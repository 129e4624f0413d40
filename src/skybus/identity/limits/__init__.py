"""What projects may own."""
