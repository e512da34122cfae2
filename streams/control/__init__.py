"""What operators say to running workers, and what these report: breakers and versions of the model."""
