"""What training loops share besides the run: latent tables, queues, momentum, schedules, image changes."""
