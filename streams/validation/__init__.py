"""What is wrong with an answer: checks that are free, and a judge that is not."""
