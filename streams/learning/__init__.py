"""What is concluded from outcomes: how often a judge looks, which candidate is better. Pure."""
