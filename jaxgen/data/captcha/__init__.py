"""Text CAPTCHAs: rendered from a seed, or read from files that are named by their text."""
