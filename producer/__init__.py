"""Put transactions into Kafka: replay a file, or draw synthetic ones."""
