"""What the service tells about itself: metrics, logs, health. Never on the line, only listening."""
