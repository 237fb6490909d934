"""What the service reports about itself: metrics, logs, health. It only observes the work."""
