"""Which tier a request goes to: rules and a classifier. Pure: no Kafka, no clock, no environment."""
