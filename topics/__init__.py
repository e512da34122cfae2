"""What flows: the records, the topics they live in and how they are written. No I/O and no Faust here."""
