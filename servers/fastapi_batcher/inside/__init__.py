"""What runs in the engine's own environment: the application, its batchers, its job queue."""
