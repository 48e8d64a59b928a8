"""Editing real images: photographs to latents, latents along directions."""
