"""The numbers that the EMMA-X paper published, and whether records reproduce them."""
