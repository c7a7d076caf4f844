"""Circuit breakers: what is out of order is left alone, by all processes, and tried again by one of them."""
