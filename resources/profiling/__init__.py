"""Quality as the database tells it: profiles of columns, and the counts that dimensions are made of."""
