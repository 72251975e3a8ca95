"""`python -m media_inference` is `media-inference`."""

from media_inference.cli import main

main()
