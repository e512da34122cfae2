"""Files and batches in Kafka: what is known of them, their content, and a batch being served."""
